"""The ways of HOUSE.md walked from the command line, with the embedded models, as a stranger would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pdf import write_pdf

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

PAGES = [
    "Welcome to Varn Lamps. The company was founded in 1912 in Lund and makes lamps for ships.",
    "Every employee has 27 days of leave a year. Requests for leave go to Maria Lind in the office.",
    "The office in Lund opens at seven in the morning and closes at four in the afternoon.",
]


def hearth(home: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """One call of the installed command, as a person makes it."""
    command = [*before, sys.executable, "-m", "hearth", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def value(run: subprocess.CompletedProcess[str]) -> Any:
    """The one JSON value on standard output of a call that must succeed."""
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "handbook.pdf", PAGES)


def test_a_document_goes_in_once_and_answers_with_its_page(embedded_home: Path, handbook: Path) -> None:
    report = value(hearth(embedded_home, "ingest", str(handbook), "--json"))
    assert report["failed"] == []
    assert len(report["added"]) == 1
    again = value(hearth(embedded_home, "ingest", str(handbook), "--json"))
    assert (again["added"], again["unchanged"]) == ([], 1)
    [record] = value(hearth(embedded_home, "documents", "list", "--json"))
    assert (record["document"], record["pages"]) == ("handbook.pdf", 3)

    answer = value(hearth(embedded_home, "ask", "How many days of leave does an employee have?", "--json"))
    assert "27" in answer["answer"]
    assert not answer["abstained"]
    source = answer["sources"][0]
    assert (source["document"], source["page"]) == ("handbook.pdf", 2)
    assert "27 days" in source["quote"]
    assert answer["timings"]["total_ms"] > 0

    silent = value(hearth(embedded_home, "ask", "Which emperor lost the battle of Waterloo?", "--json"))
    assert silent["abstained"]
    assert silent["sources"] == []

    [best, *_] = value(hearth(embedded_home, "search", "opening hours of the office", "--json"))
    assert best["page"] == 3
    assert value(hearth(embedded_home, "explain", "opening hours", "--json"))


def test_a_question_to_one_document_is_answered_from_it_alone(embedded_home: Path, handbook: Path) -> None:
    other = write_pdf(handbook.parent / "other.pdf", ["Every employee of Lund Candles has 31 days of leave a year."])
    value(hearth(embedded_home, "ingest", str(handbook), "--json"))
    question = "How many days of leave does an employee have?"
    for document, days in ((other, "31"), (handbook, "27")):
        answer = value(hearth(embedded_home, "ask", question, "--json", "--documents", str(document)))
        assert {source["document"] for source in answer["sources"]} == {document.name}
        assert days in answer["answer"]
    silent = value(hearth(embedded_home, "ask", "When was the company founded?", "--json", "--documents", "other.pdf"))
    assert silent["abstained"]


def test_everything_works_with_the_network_cut(embedded_home: Path, handbook: Path) -> None:
    cut = ("unshare", "-n")
    if not shutil.which("unshare") or subprocess.run([*cut, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a network namespace")
    value(hearth(embedded_home, "ingest", str(handbook), "--json", before=cut))
    answer = value(hearth(embedded_home, "ask", "When was the company founded?", "--json", before=cut))
    assert "1912" in answer["answer"]
    checks = value(hearth(embedded_home, "doctor", "--offline", "--json", before=cut))
    assert [check for check in checks if not check["ok"]] == []


def test_bad_files_are_named_one_by_one_and_the_good_one_is_in(embedded_home: Path, handbook: Path) -> None:
    folder = handbook.parent / "mixed"
    folder.mkdir()
    shutil.copy(handbook, folder / "good.pdf")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "program.pdf").write_bytes(b"\x7fELF" + bytes(range(256)) * 20)
    write_pdf(folder / "scanned.pdf", [""])
    with (folder / "huge.txt").open("wb") as huge:
        huge.truncate(200 * 2**20)
    run = hearth(embedded_home, "ingest", str(folder), "--json")
    assert run.returncode == 1
    report = json.loads(run.stdout)
    codes = {failure["document"]: failure["code"] for failure in report["failed"]}
    assert codes == {
        "empty.txt": "empty_file",
        "program.pdf": "type_mismatch",
        "scanned.pdf": "no_text",
        "huge.txt": "too_large",
    }
    assert len(report["added"]) == 1
    assert "Traceback" not in run.stderr


def test_q02_a_question_of_100_000_tokens_is_refused_in_one_sentence(embedded_home: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hearth", "ask", "-", "--home", str(embedded_home)]
    run = subprocess.run(command, input="why " * 100_000, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("hearth: too_long: ")
    assert run.stderr.count("\n") == 1


def test_two_ingests_and_a_question_at_once(embedded_home: Path, handbook: Path, tmp_path: Path) -> None:
    value(hearth(embedded_home, "ingest", str(handbook), "--json"))
    folders = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        folders.append(folder)
        for number in range(30):
            (folder / f"{name}{number}.txt").write_text(f"Note {name}{number} is about lamp {number}. " * 20)
    reports: list[Any] = []
    ingests = [
        threading.Thread(target=lambda at=at: reports.append(value(hearth(embedded_home, "ingest", str(at), "--json"))))
        for at in folders
    ]
    for ingest in ingests:
        ingest.start()
    answer = value(hearth(embedded_home, "ask", "When was the company founded?", "--json"))
    assert "1912" in answer["answer"]
    for ingest in ingests:
        ingest.join()
    assert sorted(len(report["added"]) for report in reports) == [30, 30]
    assert len(value(hearth(embedded_home, "documents", "list", "--json"))) == 61
    assert value(hearth(embedded_home, "verify", "--json"))["problems"] == []


def test_ctrl_c_keeps_what_is_done_and_the_next_run_carries_on(embedded_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number:04}.txt").write_text(f"Note {number} tells of lamp {number} and its oil. " * 40)
    command = [sys.executable, "-m", "hearth", "ingest", str(folder), "--json", "--home", str(embedded_home)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    store = embedded_home / "library" / "library.sqlite"
    deadline = time.monotonic() + 120
    while run.poll() is None and time.monotonic() < deadline:
        if store.exists() and store.stat().st_size > 200_000:
            break
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in err
    kept = len(value(hearth(embedded_home, "documents", "list", "--json")))
    assert 0 < kept < 1000
    report = value(hearth(embedded_home, "ingest", str(folder), "--json"))
    assert (len(report["added"]), report["unchanged"]) == (1000 - kept, kept)


@pytest.mark.shared
def test_ten_real_pdfs_go_in_and_answer(embedded_home: Path, shared: Path) -> None:
    rows = [json.loads(line) for line in (shared / "docs_share" / "manifest.jsonl").read_text().splitlines()]
    clean = [shared / "docs_share" / row["file"] for row in rows if row["ext"] == "pdf" and row["category"] == "clean"]
    others = [shared / "docs_share" / row["file"] for row in rows if row["ext"] == "pdf" and row["category"] != "clean"]
    files = [str(file) for file in [*clean, *others]][:10]
    assert len(files) == 10
    report = json.loads(hearth(embedded_home, "ingest", *files, "--json").stdout)
    assert len(report["added"]) + len(report["failed"]) + report["unchanged"] == 10
    assert len(report["added"]) >= 5
    for failure in report["failed"]:
        assert failure["code"] in {"no_text", "encrypted", "corrupt", "too_complex", "timeout"}, failure
    answer = value(hearth(embedded_home, "ask", "What is this document about?", "--tool", "search", "--json"))
    assert answer["answer"]
