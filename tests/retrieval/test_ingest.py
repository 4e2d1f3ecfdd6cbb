"""What an ingest does with files: new, unchanged, changed, moved, copied, vanished, and every kind of bad one."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import retrieval.loaders
import retrieval.parsing
from retrieval import Library, TextDocument
from retrieval.errors import IndexModelMismatch, NotFound
from retrieval.loaders import Limits
from retrieval.records import IngestProgress
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf
from tests.retrieval.formats.files import MAKERS, docx

Write = Callable[[str, str | bytes], Path]


def texts(library: Library, query: str, **search: object) -> list[str]:
    return [hit.page_content for hit in library.search(query, **search)]  # type: ignore[arg-type]


def codes(library: Library, *paths: Path) -> dict[str, str]:
    return {failure.document: failure.code for failure in library.add(paths).failed}


def test_a_folder_is_added_once_then_kept_in_step(library: Library, folder: Path, write: Write) -> None:
    write("a.txt", "apples are red")
    write("deep/b.md", "# Fruit\n\nbananas are yellow")
    write(".hidden/c.txt", "not seen")
    assert library.add([folder]).added == ["a.txt", "deep/b.md"]
    again = library.add([folder])
    assert (again.added, again.changed, again.unchanged, again.chunks) == ([], [], 2, 0)
    write("a.txt", "apples are green now")
    (folder / "deep/b.md").unlink()
    third = library.add([folder])
    assert (third.changed, third.removed, third.unchanged) == (["a.txt"], ["deep/b.md"], 0)
    assert texts(library, "apples bananas") == ["apples are green now"]
    assert library.verify() == {"checked": 1, "problems": [], "repaired": []}


def test_unchanged_files_are_neither_read_nor_embedded(
    library: Library, folder: Path, write: Write, embeddings: HashEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write("old.txt", "an old file")
    os.utime(old, ns=(10**18, 10**18))
    monkeypatch.setattr(retrieval.loaders, "_FRESH_NANOSECONDS", -(10**18))
    library.add([folder])
    embedded = embeddings.embedded

    def never(*_: object) -> str:
        raise AssertionError("an unchanged file was read")

    monkeypatch.setattr(retrieval.loaders, "hash_file", never)
    assert library.add([folder]).unchanged == 1
    assert embeddings.embedded == embedded


def test_a_touched_file_with_the_same_content_is_unchanged(library: Library, folder: Path, write: Write) -> None:
    path = write("a.txt", "the same words")
    library.add([folder])
    os.utime(path, (1, 1))
    assert library.add([folder]).unchanged == 1


def test_a_moved_file_keeps_its_document(
    library: Library, folder: Path, write: Write, embeddings: HashEmbeddings
) -> None:
    write("a.txt", "words that move")
    library.add([folder])
    document = library.documents()[0].document_id
    embedded = embeddings.embedded
    (folder / "a.txt").rename(folder / "z.txt")
    report = library.add([folder])
    assert (report.moved, report.added, report.removed) == (["z.txt"], [], [])
    assert [(record.document, record.document_id) for record in library.documents()] == [("z.txt", document)]
    assert embeddings.embedded == embedded


def test_d29_the_same_bytes_under_two_names_are_one_document(library: Library, folder: Path, write: Write) -> None:
    write("a.txt", "the very same words")
    write("b.txt", "the very same words")
    report = library.add([folder])
    assert (report.added, report.unchanged) == (["a.txt"], 1)
    assert [warning.code for warning in report.warnings] == ["duplicate"]
    assert library.add([folder]).unchanged == 2
    (folder / "a.txt").unlink()
    assert library.add([folder]).moved == ["b.txt"]
    assert texts(library, "same words") == ["the very same words"]


def test_d29_a_file_changed_into_a_copy_of_another_leaves_one(library: Library, folder: Path, write: Write) -> None:
    write("a.txt", "first words")
    write("b.txt", "second words")
    library.add([folder])
    write("b.txt", "first words")
    assert [warning.code for warning in library.add([folder]).warnings] == ["duplicate"]
    assert texts(library, "second first words") == ["first words"]
    assert library.verify()["problems"] == []


def test_f06_names_equal_but_for_case_or_form_are_two_documents(library: Library, folder: Path, write: Write) -> None:
    for number, name in enumerate(("Café.txt", "café.txt", "cafe\u0301.txt")):
        write(name, f"content number {number}")
    assert len(library.add([folder]).added) == 3
    assert len({record.document_id for record in library.documents()}) == 3


@pytest.mark.parametrize("name", ["a\nb.txt", "-rf.txt", "\u202etxt.exe.txt", "😀.txt", "CON.txt", " .txt", "x" * 250])
def test_f02_strange_names_are_accepted(library: Library, folder: Path, write: Write, name: str) -> None:
    assert library.add([write(name, "fine words")]).added == [name]
    assert library.add([folder]).unchanged == 1


def test_f02_a_name_that_is_no_utf8_is_accepted(library: Library, folder: Path) -> None:
    path = os.path.join(os.fsencode(folder), b"caf\xe9.txt")
    with open(path, "wb") as file:
        file.write(b"words")
    assert library.add([folder]).added == ["caf\\udce9.txt"]


def test_f01_an_uploaded_file_shows_the_name_it_was_given(library: Library, write: Write) -> None:
    stored = write("0f3a.txt", "uploaded words")
    report = library.add([stored], collection="thread:1", names={stored: "../../etc/passwd.txt"})
    assert report.added == ["../../etc/passwd.txt"]
    record = library.documents(["thread:1"])[0]
    assert (record.document, record.path) == ("../../etc/passwd.txt", str(stored))
    assert report.document_ids[str(stored)] == record.document_id


def test_d01_d02_d21_bad_files_are_named_and_the_rest_is_ready(library: Library, folder: Path, write: Write) -> None:
    write("empty.txt", b"")
    write("spaces.txt", b" \n\t \n")
    write("program.pdf", b"MZ\x90\x00\x03\x00\x00\x00\xff\xff" * 99)
    write_pdf(write("really.txt", b""), ["a PDF under another name"])
    write_pdf(write("blank.pdf", b""), [""])
    write("broken.pdf", b"%PDF-1.7\n" + b"nothing else" * 50)
    write("good.txt", "good words")
    write("picture.png", b"\x89PNG\r\n\x1a\n" + b"\x00" * 99)
    report = library.add([folder])
    assert report.added == ["good.txt"]
    assert {failure.document: failure.code for failure in report.failed} == {
        "empty.txt": "empty_file", "spaces.txt": "empty_file", "program.pdf": "type_mismatch",
        "really.txt": "type_mismatch", "blank.pdf": "no_text", "broken.pdf": "corrupt",
    }  # fmt: skip
    assert [(warning.document, warning.code) for warning in report.warnings] == [("picture.png", "unsupported_type")]
    for note in (*report.failed, *report.warnings):
        assert note.message.startswith(note.document)
        assert str(folder) not in note.message
        assert "\n" not in note.message
    listed = {record.document: record.status for record in library.documents()}
    assert listed["blank.pdf"] == "no_text"
    assert listed["good.txt"] == "ready"
    assert [hit.metadata["document"] for hit in library.search("good words")] == ["good.txt"]


def test_an_asked_for_file_of_unknown_kind_fails(library: Library, write: Write) -> None:
    assert codes(library, write("a.bin", bytes(range(256)) * 9)) == {"a.bin": "unsupported_type"}


def test_a_bad_file_that_is_mended_becomes_ready(library: Library, folder: Path, write: Write) -> None:
    write("a.txt", b"")
    library.add([folder])
    write("a.txt", "words at last")
    assert library.add([folder]).added == ["a.txt"]
    assert [(record.status, record.message) for record in library.documents()] == [("ready", None)]


def test_a_good_file_that_breaks_keeps_what_was_stored(library: Library, folder: Path, write: Write) -> None:
    write("a.txt", "words that were good")
    library.add([folder])
    write("a.txt", b"")
    assert codes(library, folder) == {"a.txt": "empty_file"}
    assert texts(library, "good words") == ["words that were good"]


def test_d26_a_200_mb_text_file_is_refused_before_it_is_read(library: Library, folder: Path) -> None:
    path = folder / "huge.txt"
    with path.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    report = library.add([path])
    assert [failure.code for failure in report.failed] == ["too_large"]
    assert report.failed[0].message == "huge.txt has 200 MiB; the limit is 64 MiB, so split it into parts."
    assert report.seconds < 5


def test_d26_the_cap_is_configurable(library_path: Path, write: Write) -> None:
    with Library.open(library_path, HashEmbeddings(), limits=Limits(text_bytes=10)) as library:
        assert codes(library, write("a.txt", "eleven characters")) == {"a.txt": "too_large"}


def test_d04_a_cut_pdf_is_added_with_a_warning(library: Library, tmp_path: Path, write: Write) -> None:
    whole = write_pdf(tmp_path / "whole.pdf", [f"Page {number} words. " * 40 for number in range(9)]).read_bytes()
    report = library.add([write("cut.pdf", whole[: len(whole) * 9 // 10])])
    assert report.added == ["cut.pdf"]
    assert {warning.code for warning in report.warnings} == {"partial"}


def test_d22_a_guessed_encoding_is_a_warning(library: Library, write: Write) -> None:
    russian = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20
    report = library.add([write("r.txt", russian.encode("cp1251"))])
    assert [warning.code for warning in report.warnings] == ["encoding_guessed"]
    assert texts(library, "французских булок", top_k=1)[0].startswith("Съешь")


def test_d23_controls_and_surrogates_never_reach_the_store(library: Library, write: Write) -> None:
    library.add([write("a.txt", b"one\x00\x07two\xed\xa0\x80three" + b" ordinary words" * 20)])
    library.add_texts([TextDocument("t\ud800", "lone \ud800 surrogate\x00 text")])
    for record in library.documents():
        record.document.encode()
        library.text(record.document_id).encode()
        assert "\x00" not in library.text(record.document_id)


def test_d30_a_thousand_files_with_three_bad_ones(library: Library, folder: Path, write: Write) -> None:
    for number in range(1000):
        bad = {100: b"", 500: b"MZ\x90\x00\x03\x00\x00\x00\xff\xff" * 9, 900: b"   "}.get(number)
        write(f"{number:04}.txt", f"document number {number}" if bad is None else bad)
    report = library.add([folder])
    assert len(report.added) == 997
    assert report.added == sorted(report.added)
    assert [(failure.document, failure.code) for failure in report.failed] == [
        ("0100.txt", "empty_file"), ("0500.txt", "type_mismatch"), ("0900.txt", "empty_file"),
    ]  # fmt: skip
    assert library.add([folder]).unchanged == 997


def test_d30_a_thousand_files_of_all_kinds_with_three_bad_ones(library: Library, folder: Path) -> None:
    """Every ready file's own words are found in it; the three bad ones are named and stop nobody."""
    bad = {333: ("docx", docx("")[:200]), 555: ("pdf", b"MZ\x90\x00\x03\x00\x00\x00\xff\xff" * 9), 777: ("xlsx", b"")}
    kinds = sorted(MAKERS)
    for number in range(1000):
        kind, data = bad.get(number) or (kinds[number % len(kinds)], b"")
        made = data if number in bad else MAKERS[kind](f"subject{number}")
        (folder / f"{number:04}.{kind}").write_bytes(made)
    report = library.add([folder])
    assert len(report.added) == 997
    assert report.added == sorted(report.added)
    assert [(failure.document, failure.code) for failure in report.failed] == [
        ("0333.docx", "corrupt"), ("0555.pdf", "type_mismatch"), ("0777.xlsx", "empty_file"),
    ]  # fmt: skip
    assert report.warnings == []
    for number in range(0, 1000, 37):
        if number not in bad:
            found = library.search(f"subject{number}", mode="sparse", top_k=1)[0]
            assert found.metadata["document"].startswith(f"{number:04}.")
    assert library.verify()["problems"] == []


def test_f03_links_pipes_and_sockets_in_a_folder_are_passed_over(library: Library, folder: Path, write: Write) -> None:
    write("good.txt", "good words")
    (folder / "link.txt").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.txt"))
        report = library.add([folder])
    assert report.added == ["good.txt"]
    assert {warning.document: warning.code for warning in report.warnings} == dict.fromkeys(
        ("link.txt", "loop", "pipe.txt", "s.txt"), "not_a_file"
    )
    assert codes(library, Path("/dev/zero")) == {"zero": "not_a_file"}


def test_f04_a_file_that_changes_while_it_is_read_is_tried_again(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.txt", "words of the beginning")
    parse = retrieval.parsing.ParserPool.parse
    left = [1]

    def change_then_parse(self: object, descriptor: int, name: str, page: None = None) -> object:
        if left[0]:
            left[0] -= 1
            path.write_text("other words meanwhile")
        return parse(self, descriptor, name)  # type: ignore[arg-type]

    monkeypatch.setattr(retrieval.parsing.ParserPool, "parse", change_then_parse)
    assert library.add([path]).added == ["a.txt"]
    assert texts(library, "words") == ["other words meanwhile"]


def test_f04_a_file_that_keeps_changing_is_named(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a.txt", "words")
    parse = retrieval.parsing.ParserPool.parse

    def change_then_parse(self: object, descriptor: int, name: str, page: None = None) -> object:
        path.write_text(path.read_text() + " and more")
        return parse(self, descriptor, name)  # type: ignore[arg-type]

    monkeypatch.setattr(retrieval.parsing.ParserPool, "parse", change_then_parse)
    assert codes(library, path) == {"a.txt": "changed"}


def test_f05_an_unreadable_file_is_named(library: Library, folder: Path, write: Write, without_rights) -> None:  # type: ignore[no-untyped-def]
    write("good.txt", "good words")
    write("secret.txt", "secret").chmod(0)
    write("closed/inside.txt", "inside words")
    library.add([folder / "closed"])
    (folder / "closed").chmod(0)
    shown = without_rights(
        """
        report = Library.open(path, HashEmbeddings()).add([folder])
        print(report.added, sorted((f.document, f.code) for f in report.failed), report.removed)
        """
    )
    assert shown == "['good.txt'] [('closed', 'permission'), ('secret.txt', 'permission')] []"


def test_a_missing_path_is_named_and_removes_nothing(library: Library, folder: Path, write: Write) -> None:
    write("a.txt", "words")
    library.add([folder])
    shutil.rmtree(folder)
    assert codes(library, folder) == {"documents": "not_found"}
    assert len(library.documents()) == 1


def test_k08_another_embedding_model_is_refused_with_both_names(library_path: Path, write: Write) -> None:
    path = write("a.txt", "words")
    with Library.open(library_path, HashEmbeddings("one")) as library:
        library.add([path])
    with Library.open(library_path, HashEmbeddings("two")) as other:
        for attempt in (lambda: other.search("words"), lambda: other.add([write("b.txt", "more")])):
            with pytest.raises(IndexModelMismatch, match=r"one.*two") as error:
                attempt()
            assert error.value.code == "index_model_mismatch"
        assert len(other.documents()) == 1
        other.remove(["a.txt"])
        assert other.documents() == []


def test_texts_are_kept_by_name(library: Library) -> None:
    items = [TextDocument("a", "red apples"), TextDocument("b", "red apples"), TextDocument("c", " ")]
    first = library.add_texts(items)
    assert (first.added, [failure.code for failure in first.failed]) == (["a", "b"], ["empty_file"])
    second = library.add_texts([TextDocument("a", "red apples"), TextDocument("b", "green pears")])
    assert (second.changed, second.unchanged) == (["b"], 1)


def test_removing_by_name_and_by_id(library: Library, folder: Path, write: Write) -> None:
    for name in ("a", "b", "c"):
        write(f"{name}.txt", f"words of {name}")
    library.add([folder])
    wanted = library.find("b.txt")[0].document_id
    with pytest.raises(NotFound):
        library.remove(["a.txt", "nothing.txt"])
    assert len(library.documents()) == 3
    assert [record.document for record in library.remove(["a.txt", wanted])] == ["a.txt", "b.txt"]
    assert [hit.metadata["document"] for hit in library.search("words of a")] == ["c.txt"]
    with pytest.raises(NotFound):
        library.text(wanted)


def test_a_threads_file_is_its_own_until_it_is_kept(library: Library, write: Write) -> None:
    library.add([write("public.txt", "public words")])
    library.add([write("private.txt", "private words")], collection="thread:7")
    private = library.documents(["thread:7"])[0].document_id
    assert texts(library, "words") == ["public words"]
    assert sorted(texts(library, "words", collections=["thread:7", "default"])) == ["private words", "public words"]
    assert texts(library, "words", collections=["thread:8"]) == []
    assert [record.document for record in library.documents()] == ["public.txt"]
    moved = library.move(private, "default")
    assert (moved.document_id, moved.collection) == (private, "default")
    assert sorted(texts(library, "words")) == ["private words", "public words"]
    assert texts(library, "words", collections=["thread:7"]) == []
    with pytest.raises(NotFound):
        library.move("no such id", "default")


def test_keeping_a_copy_of_what_is_there_keeps_one(library: Library, write: Write) -> None:
    library.add([write("a.txt", "the same words")])
    library.add([write("b.txt", "the same words")], collection="thread:7")
    kept = library.move(library.documents(["thread:7"])[0].document_id, "default")
    assert kept.document == "a.txt"
    assert texts(library, "same words", collections=["default", "thread:7"]) == ["the same words"]


def test_offsets_and_pages_resolve_in_the_stored_text(library: Library, folder: Path) -> None:
    pages = [f"Page {number} " + f"speaks about topic{number}. " * 150 for number in range(1, 5)]
    library.add([write_pdf(folder / "a.pdf", pages)])
    hits = library.search("topic3", top_k=5)
    assert hits[0].metadata["page"] == 3
    for hit in hits:
        text = library.text(hit.metadata["document_id"])
        assert text[hit.metadata["start"] : hit.metadata["end"]] == hit.page_content
        assert library.page_of(hit.metadata["document_id"], hit.metadata["start"]) == hit.metadata["page"]
    assert library.documents()[0].pages == 4


def test_progress_counts_up_to_the_total(library: Library, folder: Path, write: Write) -> None:
    for number in range(5):
        write(f"{number}.txt", f"words {number}" if number else "")
    seen: list[IngestProgress] = []
    library.add([folder], on_progress=seen.append)
    assert (seen[-1].done, seen[-1].total, seen[-1].chunks) == (5, 5, 4)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)


def test_time_left_counts_what_is_being_stored(
    library: Library, folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work never seems to go back, whether documents are embedded, being stored or done."""
    monkeypatch.setattr(retrieval.ingest, "EMBED_BATCH", 4)
    for number in range(40):
        write(f"{number:02}.txt", f"words {number}")
    shares: list[float] = []
    library.add([folder], on_progress=lambda progress: shares.append(progress.done + progress.begun))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (4, 40)
