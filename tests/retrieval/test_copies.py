"""Exports, backups and collections: what goes out comes back the same, and a bad file is named."""

from __future__ import annotations

import json
import sqlite3
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval import Library, TextDocument
from retrieval.errors import BadExport, IndexModelMismatch, NotFound, NotReplaced
from retrieval.schema import FILE_NAME
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf


@pytest.fixture
def filled(library: Library, folder: Path) -> Library:
    write_pdf(folder / "pages.pdf", [f"Page {number} about pears. " * 40 for number in range(3)])
    (folder / "notes.md").write_text("# Heading\n\nSome notes.\n\n## Below\n\nMore notes.")
    (folder / "empty.txt").write_text("")
    library.add([folder], metadata={"year": 2020, "tags": ["a", "ü"]})
    library.add_texts([TextDocument(f"t{n}", f"text number {n}", {"n": n}) for n in range(20)], collection="two")
    library.add_texts([TextDocument("mine", "private words")], collection="thread:1")
    library.remove(["pages.pdf"])
    library.add([folder])
    return library


def everything(library: Library) -> list[tuple[object, ...]]:
    records = library.documents(library.collections())
    return [(record, library.text(record.document_id) if record.chunks else "") for record in records]


def test_an_export_comes_back_the_same_to_the_byte(filled: Library, tmp_path: Path) -> None:
    out = tmp_path / "out.hearth"
    made = filled.export(out)
    assert (made["documents"], made["bytes"]) == (24, out.stat().st_size)
    with Library.open(tmp_path / "other", HashEmbeddings()) as other:
        report = other.import_file(out)
        assert (len(report.added), [note.code for note in report.failed]) == (23, ["empty_file"])
        assert everything(other) == everything(filled)
        assert other.verify()["problems"] == []
        assert other.search("pears", where={"document": "pages.pdf", "page": 2})
        assert other.search("notes", where={"year": 2020, "tags": {"$contains": "ü"}})
        other.export(tmp_path / "again.hearth")
        assert (tmp_path / "again.hearth").read_bytes() == out.read_bytes()
        assert other.import_file(out).unchanged == 23
        filled.export(out)  # the same name again is replaced
    assert (tmp_path / "again.hearth").read_bytes() == out.read_bytes()


def test_an_export_is_plain_json_and_an_array(filled: Library, tmp_path: Path) -> None:
    filled.export(tmp_path / "out.hearth")
    with zipfile.ZipFile(tmp_path / "out.hearth") as archive:
        assert archive.namelist() == ["manifest.json", "documents.jsonl", "vectors.npy"]
        manifest = json.loads(archive.read("manifest.json"))
        rows = [json.loads(line) for line in archive.read("documents.jsonl").splitlines()]
        with archive.open("vectors.npy") as file:
            vectors = np.lib.format.read_array(file, allow_pickle=False)
    assert (manifest["format"], manifest["model"]["fingerprint"]) == ("hearth-library", "hash-64")
    assert len(vectors) == manifest["chunks"] == sum(len(row["chunks"]) for row in rows)
    at = 0
    for row in rows:
        for start, end, _, _ in row["chunks"]:
            expected = HashEmbeddings().embed_query(row["text"][start:end])
            assert vectors[at] == pytest.approx(expected, abs=1e-3)
            at += 1


def test_some_collections_alone_and_into_another(filled: Library, tmp_path: Path) -> None:
    filled.export(tmp_path / "two.hearth", collections=["two"])
    filled.import_file(tmp_path / "two.hearth", collection="copied")
    names = [record.document for record in filled.documents(["copied"])]
    assert names == [f"t{n}" for n in range(20)]
    assert len(filled.documents(["two"])) == 20
    assert filled.verify()["problems"] == []


def test_vectors_of_another_model_are_not_mixed_in(filled: Library, tmp_path: Path) -> None:
    filled.export(tmp_path / "out.hearth")
    with Library.open(tmp_path / "other", HashEmbeddings("other")) as other:
        other.add_texts([TextDocument("a", "words")])
        with pytest.raises(IndexModelMismatch):
            other.import_file(tmp_path / "out.hearth")
        other.remove(["a"])
        other.import_file(tmp_path / "out.hearth")  # an empty library takes them, and says so at the first search
        with pytest.raises(IndexModelMismatch, match="hearth reembed"):
            other.search("pears")
        other.reembed()
        assert other.search("pears")


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def set_manifest(**values: object) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), **values}).encode()

    return change


def replace_in(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        assert old in parts[name]
        parts[name] = parts[name].replace(old, new, 1)

    return change


BAD: list[Callable[[dict[str, bytes]], None]] = [
    set_manifest(format="other"), set_manifest(version=2), set_manifest(chunks=1), set_manifest(model=3),
    replace_in("documents.jsonl", b'"text":"', b'"test":"'), replace_in("documents.jsonl", b"{", b"["),
    replace_in("documents.jsonl", b'"chunks":[[0,', b'"chunks":[[-5,'),
    replace_in("documents.jsonl", b'"chunks":[[0,', b'"chunks":[["0",'),
    replace_in("vectors.npy", b"'<f2'", b"'|O8'"), replace_in("vectors.npy", b"NUMPY", b"numpy"),
    lambda parts: parts.update({"vectors.npy": parts["vectors.npy"][:-64]}),
    lambda parts: parts.update({"vectors.npy": parts["vectors.npy"][:-64] + b"\xff" * 64}),
    lambda parts: parts.pop("documents.jsonl") and None,
]  # fmt: skip


def test_a_bad_export_is_named_and_harms_nothing(filled: Library, tmp_path: Path) -> None:
    out = tmp_path / "out.hearth"
    filled.export(out)
    good = out.read_bytes()
    for number, change in enumerate(BAD):
        out.write_bytes(good)
        rewritten(out, change)
        with Library.open(tmp_path / f"other{number}", HashEmbeddings()) as other:
            with pytest.raises(BadExport) as error:
                other.import_file(out)
            assert error.value.code == "bad_export"
            assert other.verify()["problems"] == []


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", b"plain text", b"SQLite format 3\0" + bytes(200)])
def test_what_is_no_export_is_named(library: Library, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BadExport):
        library.import_file(tmp_path / "file")
    with pytest.raises(BadExport):
        library.import_file(tmp_path / "nothing")


def test_nothing_but_its_own_copies_is_replaced(filled: Library, tmp_path: Path) -> None:
    report = tmp_path / "report.pdf"
    write_pdf(report, ["a year's work"])
    before = report.read_bytes()
    for write in (filled.export, filled.backup):
        with pytest.raises(NotReplaced, match=r"report\.pdf"):
            write(report)
        with pytest.raises(NotReplaced):
            write(tmp_path)
        write(tmp_path / "copy")
        write(tmp_path / "copy")
    assert report.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} >= {"copy", "report.pdf"}
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_an_empty_library_has_nothing_to_copy(library: Library, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="hearth ingest"):
        library.backup(tmp_path / "copy")


def test_k17_backups_while_writing_are_whole(filled: Library, tmp_path: Path) -> None:
    """Each backup holds the documents acknowledged before it began, none half, and is a library by itself."""
    done = [0]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            name = f"new{done[0]}"
            filled.add_texts([TextDocument(name, f"{name} " + "words that take a while to store " * 40)])
            done[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            before = done[0]
            filled.backup(tmp_path / "backup")
            folder = tmp_path / f"restored{number}"
            folder.mkdir()
            (tmp_path / "backup").rename(folder / FILE_NAME)
            with Library.open(folder, HashEmbeddings()) as restored:
                assert restored.verify()["problems"] == []
                names = {record.document for record in restored.documents()}
                assert {f"new{at}" for at in range(before)} <= names
                assert restored.search(f"new{before - 1}" if before else "pears")
    finally:
        stop.set()
        writer.join()
    assert done[0] > 5


def test_a_backup_can_be_imported(filled: Library, tmp_path: Path) -> None:
    filled.backup(tmp_path / "backup")
    with Library.open(tmp_path / "other", HashEmbeddings()) as other:
        other.import_file(tmp_path / "backup")
        assert everything(other) == everything(filled)


def test_collections_are_described_renamed_joined_and_removed(filled: Library) -> None:
    described = {record.collection: (record.documents, record.chunks) for record in filled.describe_collections()}
    assert described["two"] == (20, 20)
    assert set(described) == {"default", "thread:1", "two"}
    ids = {record.document_id for record in filled.documents(["two"])}
    assert filled.rename_collection("two", "letters").documents == 20
    assert {record.document_id for record in filled.documents(["letters"])} == ids
    assert filled.search("number 7", collections=["letters"])
    filled.add_texts([TextDocument("t3", "text number 3"), TextDocument("x", "another")], collection="more")
    assert filled.rename_collection("more", "letters").documents == 21  # t3 was there already
    assert filled.remove_collection("letters") == 21
    assert filled.search("number 7", collections=["letters"]) == []
    for call in (lambda: filled.remove_collection("none"), lambda: filled.rename_collection("none", "some")):
        with pytest.raises(NotFound, match="default"):
            call()
    assert filled.verify()["problems"] == []


def test_ids_in_the_database_are_never_given_out_twice(filled: Library, library_path: Path) -> None:
    with sqlite3.connect(library_path / FILE_NAME) as database:
        last = database.execute("SELECT max(id) FROM chunks").fetchone()[0]
    database.close()
    filled.remove([record.document_id for record in filled.documents(filled.collections())])
    filled.add_texts([TextDocument("a", "words")])
    assert filled.search("words")[0].metadata["chunk_id"] == last + 1
