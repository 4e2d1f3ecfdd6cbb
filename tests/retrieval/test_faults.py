"""What must survive: kill -9, two writers, a full or read-only disk, damaged files, and changes while searching."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

import retrieval.filesystem
import retrieval.lock
import retrieval.writer
from retrieval import Library, TextDocument
from retrieval.errors import Damaged, DiskFull, Locked, NewerSchema, NoLocks, ParserUnavailable, ReadOnly
from retrieval.schema import FILE_NAME
from retrieval.store import Store
from tests.doubles import HashEmbeddings

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"""
import json, os, random, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from retrieval import Library, TextDocument
from retrieval.errors import RetrievalError
from tests.doubles import HashEmbeddings
path, seed = Path(sys.argv[1]), int(sys.argv[2])
"""


def start(lines: str, path: Path, seed: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + lines, str(path), str(seed)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


# Kills --------------------------------------------------------------------------------------------------------------


def churn(path: Path, seed: int, say: Callable[[object], None]) -> None:
    """Add, replace and remove documents for ever, saying before and after each what is meant to be so."""
    chance = random.Random(seed)
    library = Library.open(path, HashEmbeddings())
    while True:
        name = f"d{chance.randrange(30)}"
        if chance.random() < 0.7:
            text = f"{name} " + f"word{chance.randrange(10**9)} " * chance.randrange(1, 900)
            say(["begin", name, text.strip()])
            library.add_texts([TextDocument(name, text.strip())])
            say(["done", name, text.strip()])
        elif name in [record.document for record in library.documents()]:
            say(["begin", name, None])
            library.remove([name])
            say(["done", name, None])


def churned_until_killed(path: Path, seed: int, seconds: float) -> list[tuple[str, str, str | None]]:
    """What a process that was killed after some time had said until then."""
    reading, writing = os.pipe()
    worker = os.fork()
    if worker == 0:
        try:
            churn(path, seed, lambda words: os.write(writing, json.dumps(words).encode() + b"\n") and None)
        finally:
            os._exit(1)
    os.close(writing)
    collected: list[bytes] = []
    with open(reading, "rb") as pipe:
        collector = threading.Thread(target=lambda: collected.extend(pipe))
        collector.start()
        time.sleep(seconds)
        os.kill(worker, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(worker, 0)[1]), "the worker failed by itself"
        collector.join()
    return [tuple(json.loads(line)) for line in collected if line.endswith(b"]\n")]


def test_k01_k09_k14_kills_lose_and_double_nothing(library_path: Path) -> None:
    chance = random.Random(11)
    sure: dict[str, str] = {}
    said = 0
    for kill in range(30):
        pending: tuple[str, str | None] | None = None
        for state, name, text in churned_until_killed(library_path, kill, chance.uniform(0.005, 0.15)):
            said += 1
            pending = (name, text) if state == "begin" else None
            if state == "done":
                sure = {key: kept for key, kept in {**sure, name: text}.items() if kept is not None}
        with Library.open(library_path, HashEmbeddings()) as library:
            held = {record.document: library.text(record.document_id) for record in library.documents()}
            if pending is not None and held.get(pending[0]) == pending[1]:
                sure = {key: kept for key, kept in {**sure, pending[0]: pending[1]}.items() if kept is not None}
            assert held == sure
            assert library.verify()["problems"] == []
            chunks = sum(record.chunks for record in library.documents())
            assert len(library.search("d1", top_k=10_000, mode="dense")) == chunks
            hits = library.search(" ".join(held) or "x", top_k=500, mode="sparse")
            assert len({hit.id for hit in hits}) == len(hits)
            assert {hit.metadata["document"] for hit in hits} <= set(held)
            assert all(hit.page_content in held[hit.metadata["document"]] for hit in hits)
    assert said > 30  # the kills came while there was work


_INGEST = """
library = Library.open(path, HashEmbeddings())
folder = Path(path.parent / "documents")
slow = HashEmbeddings.embed_documents
def slowly(self, texts):
    time.sleep(0.2)
    return slow(self, texts)
HashEmbeddings.embed_documents = slowly
import retrieval.ingest
retrieval.ingest.EMBED_BATCH = 4
print("go", flush=True)
try:
    report = library.add([folder], on_progress=lambda p: print(p.done, flush=True))
    print(json.dumps(report.to_json()), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
except RetrievalError as error:
    print(error.code, flush=True)
"""


@pytest.fixture
def sixty_files(library_path: Path) -> Path:
    folder = library_path.parent / "documents"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.txt").write_text(f"document number {number} " * (number + 1))
    return folder


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_ingest_keeps_what_it_acknowledged_and_carries_on(
    library_path: Path, sixty_files: Path, blow: signal.Signals
) -> None:
    worker = start(_INGEST, library_path)
    assert worker.stdout is not None
    while worker.stdout.readline().strip() not in ("20", "21", "22", "23", "24", ""):
        pass
    worker.send_signal(blow)
    rest = worker.stdout.read().split()
    worker.wait(timeout=10)
    worker.stdout.close()
    assert rest[-1:] == ["interrupted"] or blow == signal.SIGKILL
    with Library.open(library_path, HashEmbeddings()) as library:
        stored = len(library.documents())
        assert 20 <= stored < 60
        assert library.verify()["problems"] == []
        report = library.add([sixty_files])
        assert (len(report.added), report.unchanged) == (60 - stored, stored)
        assert library.verify()["problems"] == []


def test_k09_two_ingests_of_one_folder_at_once_double_nothing(library_path: Path, sixty_files: Path) -> None:
    workers = [start(_INGEST, library_path) for _ in range(2)]
    outputs = [worker.communicate(timeout=60)[0].splitlines() for worker in workers]
    reports = [json.loads(lines[-1]) for lines in outputs]
    assert sum(len(report["added"]) for report in reports) == 60
    assert all(len(report["added"]) + report["unchanged"] == 60 for report in reports)
    with Library.open(library_path, HashEmbeddings()) as library:
        assert len(library.documents()) == 60
        assert library.verify()["problems"] == []
        assert len(library.search("document", top_k=1000, mode="sparse")) == sum(r.chunks for r in library.documents())


# Locks and readers --------------------------------------------------------------------------------------------------


@pytest.fixture
def small(library: Library) -> Library:
    library.add_texts([TextDocument("a", "red apples"), TextDocument("b", "yellow bananas")])
    return library


@pytest.fixture
def lock_held(small: Library, library_path: Path) -> Iterator[None]:
    """Another writer in the middle of its transaction."""
    with (library_path / "library.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate()
        lock.write("4242")
        lock.flush()
        database = sqlite3.connect(library_path / FILE_NAME, isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        yield
        database.close()


@pytest.mark.usefixtures("lock_held")
def test_k09_a_second_writer_is_told_who_holds_the_lock(library_path: Path) -> None:
    store = Store(library_path)
    with pytest.raises(Locked, match="process 4242") as error, store.writing(wait_seconds=0.2):
        pass
    assert (error.value.code, error.value.holder) == ("locked", 4242)


@pytest.mark.usefixtures("lock_held")
def test_readers_are_never_refused(small: Library, library_path: Path) -> None:
    assert small.search("apples")[0].metadata["document"] == "a"
    with Library.open(library_path, HashEmbeddings()) as other:
        assert other.search("bananas")[0].metadata["document"] == "b"
        assert len(other.documents()) == 2


def test_an_open_library_sees_what_another_wrote(small: Library, library_path: Path) -> None:
    assert small.search("cherries", mode="sparse") == []
    with Library.open(library_path, HashEmbeddings()) as other:
        other.add_texts([TextDocument("c", "dark cherries")])
        other.remove(["a"])
    assert small.search("cherries", mode="sparse")[0].metadata["document"] == "c"
    assert {hit.metadata["document"] for hit in small.search("apples", mode="dense")} == {"b", "c"}


def test_k05_a_backup_put_in_place_while_the_library_is_open_is_seen(small: Library, library_path: Path) -> None:
    file = library_path / FILE_NAME
    backup = file.read_bytes()
    small.add_texts([TextDocument("c", "dark cherries")])
    assert small.search("cherries", mode="sparse")
    (library_path / "restored").write_bytes(backup)
    os.replace(library_path / "restored", file)
    assert small.search("cherries", mode="sparse") == []
    assert {hit.metadata["document"] for hit in small.search("apples", mode="dense")} == {"a", "b"}
    small.add_texts([TextDocument("d", "green pears")])
    assert {hit.metadata["document"] for hit in small.search("pears apples", mode="sparse")} == {"a", "d"}
    shutil.rmtree(library_path)
    assert (small.search("apples"), small.documents()) == ([], [])
    small.add_texts([TextDocument("e", "blue plums")])
    assert [hit.metadata["document"] for hit in small.search("plums")] == ["e"]


@pytest.mark.parametrize("versions", [60, pytest.param(1000, marks=pytest.mark.faults)])
def test_k11_deleted_text_never_comes_back(small: Library, versions: int) -> None:
    """One thread adds and removes while others search: every hit is whole, none is of a document removed before."""
    removed_until = [0]
    stop = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not stop.is_set():
            floor = removed_until[0]
            for hit in small.search("versioned words", top_k=50):
                name = hit.metadata["document"]
                if name.startswith("v") and int(name[1:]) < floor:
                    wrong.append(name)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in range(versions):
        small.add_texts([TextDocument(f"v{version}", f"versioned words number {version} " * 30)])
        if version:
            small.remove([f"v{version - 1}"])
            removed_until[0] = version
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert small.verify()["problems"] == []


# Disks --------------------------------------------------------------------------------------------------------------


def test_reading_a_missing_library_creates_nothing(library_path: Path) -> None:
    with Library.open(library_path, HashEmbeddings()) as library:
        assert (library.documents(), library.search("x"), library.collections()) == ([], [], [])
        assert library.verify() == {"checked": 0, "problems": [], "repaired": []}
    assert not library_path.exists()


def test_k05_a_read_only_library_can_be_searched_but_not_written(
    small: Library, library_path: Path, without_rights: Callable[[str], str]
) -> None:
    small.close()
    shutil.rmtree(library_path / "fulltext")
    before = sorted(library_path.rglob("*"))
    for entry in library_path.iterdir():
        entry.chmod(0o444)
    library_path.chmod(0o555)
    try:
        shown = without_rights(
            """
            from retrieval import TextDocument
            library = Library.open(path, HashEmbeddings())
            for mode in ("hybrid", "sparse"):
                print(library.search("apples", mode=mode)[0].metadata["document"])
            for write in (lambda: library.add_texts([TextDocument("c", "new")]), lambda: library.remove(["a"])):
                try:
                    write()
                except RetrievalError as error:
                    print(error.code)
            """
        )
        assert shown.split() == ["a", "a", "read_only", "read_only"]
        assert sorted(library_path.rglob("*")) == before
    finally:
        library_path.chmod(0o755)


def test_k05_no_library_in_a_read_only_home(folder: Path, without_rights: Callable[[str], str]) -> None:
    (folder / "a.txt").write_text("words")
    folder.chmod(0o555)
    shown = without_rights(
        """
        library = Library.open(folder / "library", HashEmbeddings())
        print(library.search("x"), library.documents())
        try:
            library.add([folder / "a.txt"])
        except RetrievalError as error:
            print(error.code, str(error).count("."))
        """
    )
    assert shown.splitlines()[0] == "[] []"
    assert shown.splitlines()[1].startswith("read_only")
    assert ReadOnly("x").code == "read_only"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_k04_a_full_disk_is_named_reads_go_on_and_it_recovers(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with Library.open(disk / "library", HashEmbeddings()) as library:
            library.add_texts([TextDocument("a", "red apples")])
            filler = disk / "filler"
            filler.write_bytes(b"x" * (3 << 20))
            big = [TextDocument(f"big{number}", f"{number} " + "many words " * 20_000) for number in range(20)]
            with pytest.raises(DiskFull) as error:
                library.add_texts(big)
            assert error.value.code == "disk_full"
            assert library.search("apples", mode="dense")[0].metadata["document"] == "a"
            assert library.verify()["problems"] == []
            filler.unlink()
            library.add_texts(big[:2])
            assert library.verify()["problems"] == []
            assert library.search("many", mode="sparse")
    finally:
        subprocess.run(["umount", disk], check=True)


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "other"])
def test_k06_a_damaged_library_is_refused_and_left_alone(small: Library, library_path: Path, damage: str) -> None:
    small.close()
    file = library_path / FILE_NAME
    data = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "garbage": b"junk" * 5000, "other": b""}[damage])
    if damage == "other":
        sqlite3.connect(file).execute("CREATE TABLE somebody_elses(x)").connection.commit()
    broken = file.read_bytes()
    with Library.open(library_path, HashEmbeddings()) as library:
        writing = [TextDocument("c", "x")]
        for use in (library.documents, lambda: library.search("x"), lambda: library.add_texts(writing)):
            with pytest.raises(Damaged) as error:
                use()
            assert error.value.code == "library_damaged"
    assert file.read_bytes() == broken


def test_k06_k16_a_newer_library_is_refused(small: Library, library_path: Path) -> None:
    small.close()
    database = sqlite3.connect(library_path / FILE_NAME)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with Library.open(library_path, HashEmbeddings()) as library, pytest.raises(NewerSchema) as error:
        library.documents()
    assert (error.value.found, error.value.code) == (99, "newer_library")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE chunks SET text = 'other' WHERE id = 1", "not the text it points at"),
        ("DELETE FROM vectors WHERE chunk = 1", "no sound vector"),
        ("UPDATE vectors SET value = zeroblob(3) WHERE chunk = 1", "no sound vector"),
        ("DELETE FROM chunks WHERE id = 1", "found"),
        ("DELETE FROM documents WHERE id = 1", "dangling row"),
    ],
)
def test_verify_names_what_is_wrong(small: Library, library_path: Path, change: str, words: str) -> None:
    database = sqlite3.connect(library_path / FILE_NAME)
    database.execute(change)
    database.commit()
    database.close()
    assert any(words in problem for problem in small.verify()["problems"])


@pytest.mark.parametrize("damage", ["missing", "stamp", "elsewhere", "files", "one", "history"])
def test_k07_a_doubtful_full_text_cache_is_rebuilt(small: Library, library_path: Path, damage: str) -> None:
    small.search("apples")
    small.close()
    cache = library_path / "fulltext"
    index = next(entry for entry in cache.iterdir() if entry.is_dir())
    stamp = json.loads((cache / "stamp.json").read_text())
    if damage == "missing":
        shutil.rmtree(cache)
    elif damage == "stamp":
        (cache / "stamp.json").write_text("{")
    elif damage == "elsewhere":
        (cache / "stamp.json").write_text(json.dumps({**stamp, "index": "../../etc"}))
    elif damage == "files":
        for file in index.iterdir():
            file.write_bytes(b"")
    elif damage == "one":
        max(index.iterdir(), key=lambda file: file.stat().st_size).unlink()
    else:
        (cache / "stamp.json").write_text(json.dumps({**stamp, "token": "of another life"}))
    with Library.open(library_path, HashEmbeddings()) as library:
        assert [hit.metadata["document"] for hit in library.search("apples", mode="sparse")] == ["a"]
        library.add_texts([TextDocument("c", "green apples")])
        assert {hit.metadata["document"] for hit in library.search("apples", mode="sparse")} == {"a", "c"}
    assert len([entry for entry in cache.iterdir() if entry.is_dir()]) == 1


def test_k13_no_descriptor_is_left_after_many_operations(small: Library, library_path: Path) -> None:
    small.search("apples")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        with Library.open(library_path, HashEmbeddings()) as library:
            library.add_texts([TextDocument("n", f"number {number}")])
            library.search("number")
    small.search("number")
    assert len(os.listdir("/proc/self/fd")) <= before + 2


# The machine ----------------------------------------------------------------------------------------------------------


def test_k10_a_file_system_without_locks_is_refused(
    library_path: Path, embeddings: HashEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval.lock, "_locking_devices", set())
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # what some network file systems do
    with Library.open(library_path, embeddings) as library, pytest.raises(NoLocks, match="local disk") as error:
        library.add_texts([TextDocument("a", "words")])
    assert error.value.code == "no_locks"


def test_k10_a_network_file_system_is_named(
    library: Library, library_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    parent = str(library_path.parent).replace(" ", "\\040")
    mounts.write_text(
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"40 21 0:44 / {parent} rw shared:1 - nfs4 server:/share rw\n"
        "41 21 0:45 / /elsewhere rw - cifs //server/share rw\n"
    )
    monkeypatch.setattr(retrieval.filesystem, "_MOUNTS", mounts)
    report = library.add_texts([TextDocument("a", "words")])
    assert [(warning.code, "nfs4" in warning.message) for warning in report.warnings] == [("network_folder", True)]
    mounts.write_text("21 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    assert library.add_texts([TextDocument("b", "words too")]).warnings == []


def test_k12_neither_ids_nor_order_come_from_the_clock(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Earlier(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Earlier:
            return cls(2001, 1, 1, tzinfo=tz)

    library.add_texts([TextDocument("first", "red apples")])
    path = tmp_path / "second.txt"
    path.write_text("green apples")
    os.utime(path, (4_000_000_000, 4_000_000_000))  # written in a future that the clock was set back from
    with monkeypatch.context() as patch:
        patch.setattr(retrieval.writer, "datetime", Earlier)
        library.add([path])
    library.add_texts([TextDocument("third", "blue apples")])
    records = library.documents()
    assert [record.document for record in records] == ["first", "second.txt", "third"]
    assert records[1].added < records[0].added
    assert {hit.metadata["document"] for hit in library.search("apples", mode="sparse")} == {
        "first",
        "second.txt",
        "third",
    }
    path.write_text("yellow apples")
    os.utime(path, (4_000_000_000, 4_000_000_000))
    assert library.add([path]).changed == ["second.txt"]
    assert library.verify()["problems"] == []
    again = library.add_texts([TextDocument("first", "red apples")], collection="other")
    library.remove(["first"], "other")
    same = library.add_texts([TextDocument("first", "red apples")], collection="other")
    assert again.document_ids == same.document_ids


def test_k13_few_descriptors_are_enough_and_too_few_are_named(
    library_path: Path, folder: Path, without_rights: Callable[[str], str]
) -> None:
    for number in range(100):
        (folder / f"{number}.txt").write_text(f"document number {number}")
    lines = """
        import resource
        library = Library.open(path, HashEmbeddings())
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        print(len(library.add([folder]).added), len(library.search("document number 7")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 1, 64))
        for number in range(3):
            (folder / f"new{number}.txt").write_text("something new")
        try:
            report = library.add([folder])
            print(sorted({failure.code for failure in report.failed}))
        except RetrievalError as error:
            print(error.code)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        library.add([folder])
        print(len(library.documents()), library.verify()["problems"])
        """
    shown = without_rights(lines).splitlines()
    assert shown[0] == "100 10"
    assert shown[1] in ("parser_unavailable", "storage_error", "['unreadable']", "read_only")
    assert shown[2] == "101 []"


def test_k13_no_process_to_be_had_is_named_and_loses_nothing(
    small: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process limit that is reached: the parsers cannot start, what is there stays, and the next try goes on."""
    (folder / "new.txt").write_text("blue plums")

    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    before = small.documents()
    with monkeypatch.context() as limited:
        limited.setattr("subprocess.Popen", refused)
        with pytest.raises(ParserUnavailable) as error:
            small.add([folder])
    assert error.value.code == "parser_unavailable"
    assert (small.documents(), small.verify()["problems"]) == (before, [])
    assert small.add([folder]).added == ["new.txt"]
