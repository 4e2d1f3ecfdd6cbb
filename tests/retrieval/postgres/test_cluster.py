"""Ingest over a real Ray cluster of two processors into a real server: nothing lost, nothing doubled, all on loopback.

Source of what is right: a plain `Library.add` of the same files into another database.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import hearth
from retrieval import Library
from retrieval.cluster.errors import WorkerFailed
from retrieval.cluster.running import running
from retrieval.records import IngestProgress, IngestReport, IngestStopped
from tests.retrieval.postgres import openers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
LONG_WORDS = 11_000
"""A document of more chunks than one batch embeds, so that a share of several is stored in several goes."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two processors of this machine."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with running("local", 2):
        yield


@pytest.fixture
def filled(folder: Path) -> Path:
    """32 documents, four of them long, one a copy, and one file that is damaged."""
    for number in range(32):
        words = LONG_WORDS if number % 8 == 0 else 60
        text = " ".join(f"word{number}x{at}" for at in range(words))
        (folder / f"document{number:02}.txt").write_text(text)
    (folder / "document99.txt").write_text((folder / "document01.txt").read_text())
    (folder / "damaged.pdf").write_bytes(b"%PDF-1.4 nothing more")
    return folder


def content(library: Library) -> Counter[tuple[str, ...]]:
    """Every chunk as (document's hash, place, text), counted."""
    rows = library.rows("SELECT d.sha256, c.ordinal, c.text FROM chunks c JOIN documents d ON d.id = c.document")
    return Counter((sha256, str(ordinal), text) for sha256, ordinal, text in rows)


@pytest.fixture
def wanted(filled: Path, server: Any) -> Iterator[Counter[tuple[str, ...]]]:
    """The chunks that a plain ingest of the folder makes."""
    server.psql("CREATE DATABASE plain")
    with openers.sound(server.get_uri(database="plain")) as plain:
        plain.add([filled])
        yield content(plain)
    server.psql("DROP DATABASE plain WITH (FORCE)")


def spread(address: str, folder: Path, opener: Any = None, **more: Any) -> IngestReport:
    """One ingest over the cluster."""
    with openers.sound(address) as library:
        opener = opener or functools.partial(openers.sound, address)
        return library.add_on_cluster([folder], opener, **{"workers": 2, **more})


def counts(report: IngestReport) -> dict[str, int]:
    """What a report says, in numbers."""
    return {
        "new": len(report.added),
        "same": report.unchanged,
        "moved": len(report.moved),
        "removed": len(report.removed),
        "failed": len(report.failed),
        "chunks": report.chunks,
    }


def test_twice_is_the_same_as_once_and_as_plain(
    cluster: None, address: str, filled: Path, wanted: Counter[tuple[str, ...]]
) -> None:
    """K01 over a cluster: a second run changes nothing; moved, changed and vanished files are seen as by plain add."""
    seen: list[IngestProgress] = []
    first = spread(address, filled, on_progress=seen.append)
    assert counts(first) == {
        "new": 32, "same": 1, "moved": 0, "removed": 0, "failed": 1, "chunks": wanted.total(),
    }  # fmt: skip
    assert [(note.document, note.code) for note in first.failed] == [("damaged.pdf", "corrupt")]
    assert [note.code for note in first.warnings] == ["duplicate"]
    assert (seen[-1].done, seen[-1].total, seen[-1].chunks) == (34, 34, wanted.total())
    second = spread(address, filled, workers=1)
    assert counts(second) == {"new": 0, "same": 33, "moved": 0, "removed": 0, "failed": 1, "chunks": 0}
    with openers.sound(address) as library:
        assert content(library) == wanted
        assert library.verify()["problems"] == []
        held = {record.document: record.document_id for record in library.documents()}
        (filled / "document02.txt").rename(filled / "moved.txt")
        (filled / "document03.txt").unlink()
        (filled / "document04.txt").write_text("another text now")
        third = spread(address, filled, workers=1)
        assert (third.moved, third.removed, third.changed, third.added) == (
            ["moved.txt"], ["document03.txt"], ["document04.txt"], [],
        )  # fmt: skip
        assert library.find("moved.txt")[0].document_id == held["document02.txt"]


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    cluster: None, address: str, filled: Path, tmp_path: Path, wanted: Counter[tuple[str, ...]]
) -> None:
    note = tmp_path / "note"
    report = spread(address, filled, functools.partial(openers.dying, address, note))
    assert note.read_text() == "died"
    assert len(report.added) + report.unchanged == 33
    with openers.sound(address) as library:
        assert content(library) == wanted
        assert library.verify()["problems"] == []


def test_two_runs_at_once_store_every_document_once(
    cluster: None, address: str, filled: Path, wanted: Counter[tuple[str, ...]]
) -> None:
    reports: list[IngestReport] = []
    with openers.sound(address) as library:

        def run() -> None:
            opener = functools.partial(openers.sound, address)
            reports.append(library.add_on_cluster([filled], opener, workers=1))

        both = [threading.Thread(target=run) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert [len(report.added) + report.unchanged for report in reports] == [33, 33]
        assert content(library) == wanted
        assert library.verify()["problems"] == []


def test_a_stopped_run_is_carried_on_by_the_next(
    cluster: None, address: str, filled: Path, wanted: Counter[tuple[str, ...]]
) -> None:
    def stop(progress: IngestProgress) -> None:
        raise IngestStopped

    report = spread(address, filled, on_progress=stop)
    assert report.stopped
    assert len(report.added) < 32
    spread(address, filled, workers=1)
    with openers.sound(address) as library:
        assert content(library) == wanted


def test_what_ends_every_worker_ends_the_run_with_a_sentence(cluster: None, address: str, filled: Path) -> None:
    with pytest.raises(WorkerFailed, match="carries on from there"):
        spread(address, filled, functools.partial(openers.dying, address, openers.ALWAYS), workers=1)


def test_a_worker_with_another_model_says_so(cluster: None, address: str, filled: Path) -> None:
    with openers.sound(address) as library:
        library.add([filled / "document01.txt"])
    with pytest.raises(WorkerFailed, match="hash-other"):
        spread(address, filled, functools.partial(openers.of_another_model, address), workers=1)


def test_the_cluster_listens_on_loopback_alone(cluster: None) -> None:
    """G13: no process of the cluster has a port that another machine could reach."""
    me = psutil.Process()
    listening = [
        connection.laddr.ip
        for process in [me, *me.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    addresses = [ipaddress.ip_address(address) for address in listening]
    assert all((getattr(one, "ipv4_mapped", None) or one).is_loopback for one in addresses), listening


@pytest.mark.real_model
def test_the_command_line_spreads_and_then_finds_nothing_to_do(
    cluster: None,
    embedded_home: Path,
    address: str,
    write: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write("pears.txt", "Pears are green.")
    write("plums.md", "# Plums\n\nPlums are blue.")
    monkeypatch.setenv("HEARTH_LIBRARY_URL", address)
    found = []
    for extra in (["--ray", "local", "--workers", "1"], []):
        assert hearth.main(["ingest", str(folder), "--json", "--home", str(embedded_home), *extra]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert (sorted(found[0]["added"]), found[0]["chunks"]) == (["pears.txt", "plums.md"], 2)
    assert (found[1]["added"], found[1]["unchanged"]) == ([], 2)
