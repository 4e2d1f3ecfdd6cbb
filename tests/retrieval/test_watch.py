"""Following changes of files, by the system's word and by looking; and ending in good order when told to (K15)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import retrieval.watch
from retrieval import Library
from retrieval.loaders import Limits
from retrieval.records import IngestNote, IngestProgress, IngestReport, IngestStopped
from retrieval.watch import changes
from tests.doubles import HashEmbeddings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("told", [True, False])
def test_every_change_is_told(folder: Path, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval.watch, "_LOOK_SECONDS", 0.05)
    if not told:
        monkeypatch.setattr(retrieval.watch, "find_spec", lambda name: None)
    stop = threading.Event()
    seen: list[float] = []
    watcher = threading.Thread(target=lambda: seen.extend(time.monotonic() for _ in changes([folder], stop)))
    watcher.start()
    try:
        for number, act in enumerate(
            (
                lambda: (folder / "a.txt").write_text("new"),
                lambda: (folder / "a.txt").write_text("changed now"),
                lambda: (folder / "a.txt").unlink(),
            )
        ):
            time.sleep(0.4)
            act()
            deadline = time.monotonic() + 10
            while len(seen) <= number and time.monotonic() < deadline:
                time.sleep(0.02)
            assert len(seen) > number
    finally:
        stop.set()
        watcher.join(timeout=10)
    assert not watcher.is_alive()


def test_progress_tells_rate_and_time_left() -> None:
    progress = IngestProgress(done=25, total=100, chunks=500, seconds=10.0, document="a")
    assert (progress.chunks_per_second, progress.seconds_left) == (50.0, 30.0)
    assert IngestProgress(0, 100, 0, 0.0, None).seconds_left is None
    assert IngestProgress(done=0, total=1, chunks=512, seconds=10.0, document=None, begun=0.25).seconds_left == 30.0


def test_d08_a_very_long_document_shows_progress_is_capped_with_a_notice_and_can_be_stopped(
    library_path: Path, write: Callable[[str, str | bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.ingest.EMBED_BATCH", 10)
    path = write("long.txt", "\n\n".join(f"paragraph {number} " + "of words " * 30 for number in range(200)))
    told: list[IngestProgress] = []

    def stop_in_the_middle(progress: IngestProgress) -> None:
        told.append(progress)
        if progress.chunks >= 30:
            raise IngestStopped

    with Library.open(library_path, HashEmbeddings(), limits=Limits(chunk_tokens=60, most_chunks=100)) as library:
        stopped = library.add([path], on_progress=stop_in_the_middle)
        assert (stopped.stopped, stopped.added, library.documents()) == (True, [], [])
        assert [(progress.done, progress.begun) for progress in told] == [(0, 0.1), (0, 0.2), (0, 0.3)]
        assert all(progress.seconds_left is not None for progress in told)
        report = library.add([path])
        assert (report.added, report.chunks) == (["long.txt"], 100)
        [note] = report.warnings
        assert note.code == "partial"
        assert note.message.startswith("long.txt is very long: what follows its first 100 passages (")
        [record] = library.documents()
        assert record.facts["warnings"] == [f"It {note.message.removeprefix('long.txt ')}"]
        assert "paragraph 199" in library.text(record.document_id)
        assert library.verify()["problems"] == []


def test_a_later_run_says_only_what_is_new() -> None:
    old, new = IngestNote("a", "empty_file", "a is empty."), IngestNote("b", "empty_file", "b is empty.")
    report = IngestReport(added=["c"], failed=[old], chunks=3, seconds=1.0)
    news = report.join(IngestReport(removed=["c"], failed=[old, new], warnings=[old], unchanged=2, seconds=0.5))
    assert (news.failed, news.warnings, news.removed) == ([new], [old], ["c"])
    assert (report.failed, report.warnings, report.added, report.unchanged) == ([old, new], [old], ["c"], 2)
    assert not report.join(IngestReport(failed=[old], warnings=[old])).did_something


def test_an_ingest_stops_after_what_it_is_doing(
    library: Library, folder: Path, write: Callable[[str, str | bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.ingest.EMBED_BATCH", 4)
    for number in range(40):
        write(f"{number:02}.txt", f"document number {number}")

    def stop_at_ten(progress: IngestProgress) -> None:
        if progress.done >= 10:
            raise IngestStopped

    report = library.add([folder], on_progress=stop_at_ten)
    assert report.stopped
    assert 10 <= len(report.added) < 40
    assert {record.document for record in library.documents()} == set(report.added)
    again = library.add([folder])
    assert (len(again.added), again.unchanged, again.stopped) == (40 - len(report.added), len(report.added), False)


_VERB = """
import argparse, json, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from types import SimpleNamespace
import retrieval.ingest
from retrieval import Library
from retrieval.commands import add_verbs
from tests.doubles import HashEmbeddings
retrieval.ingest.EMBED_BATCH = 4
quick = HashEmbeddings.embed_documents
def slowly(self, texts):
    time.sleep(float(sys.argv[4]))
    return quick(self, texts)
HashEmbeddings.embed_documents = slowly
parser = argparse.ArgumentParser()
add_verbs(parser.add_subparsers(), argparse.ArgumentParser(add_help=False))
library = Library.open(Path(sys.argv[2]), HashEmbeddings())
options = parser.parse_args(["ingest", sys.argv[3], *sys.argv[5:]])
print("go", flush=True)
house = SimpleNamespace(library=lambda: library, settings=SimpleNamespace(collection="default"))
print(json.dumps(options.handler(options, house)), flush=True)
"""


def ingesting(library_path: Path, folder: Path, pause: float, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _VERB, str(ROOT), str(library_path), str(folder), str(pause), *flags]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "go\n"
    return worker


def test_k15_sigterm_during_an_ingest_ends_it_in_good_order(
    library_path: Path, folder: Path, write: Callable[[str, str | bytes], Path]
) -> None:
    for number in range(80):
        write(f"{number:02}.txt", f"document number {number}")
    worker = ingesting(library_path, folder, 0.1)
    time.sleep(1.0)
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    output = worker.communicate(timeout=15)[0]
    assert (worker.returncode, time.monotonic() - began < 10) == (0, True)
    report = json.loads(output)
    assert report["stopped"]
    with Library.open(library_path, HashEmbeddings()) as library:
        assert {record.document for record in library.documents()} == set(report["added"])
        assert library.verify()["problems"] == []
        assert len(library.add([folder]).added) == 80 - len(report["added"])


def test_watching_follows_changes_until_it_is_stopped(library_path: Path, folder: Path) -> None:
    (folder / "a.txt").write_text("red apples")
    worker = ingesting(library_path, folder, 0, "--watch")
    with Library.open(library_path, HashEmbeddings()) as library:
        _until(lambda: [r.document for r in library.documents()] == ["a.txt"])
        time.sleep(0.4)
        (folder / "b.txt").write_text("green pears")
        _until(lambda: len(library.documents()) == 2)
        os.replace(folder / "a.txt", folder / "c.txt")
        _until(lambda: {r.document for r in library.documents()} == {"b.txt", "c.txt"})
        (folder / "b.txt").unlink()
        _until(lambda: [r.document for r in library.documents()] == ["c.txt"])
    time.sleep(0.3)
    worker.send_signal(signal.SIGTERM)
    output = worker.communicate(timeout=15)[0]
    report = json.loads(output)
    assert worker.returncode == 0
    assert (report["added"], report["moved"], report["removed"]) == (["a.txt", "b.txt"], ["c.txt"], ["b.txt"])


def _until(is_so: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
