"""Files dropped into the chat: names, places, failures (F01, F02, D01, D29, K04)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from chat import uploads
from chat.uploads import add_file, display_name, forget_thread, store
from tests.doubles_assistant import ScriptedAssistant


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/abs/olute.txt", "olute.txt"),
        ("C:\\x\\y.txt", "y.txt"),
        ("  spaced .md ", "spaced .md"),
        ("a\nb\x00c.txt", "a\\nb\\x00c.txt"),
        ("evil\u202efdp.exe", "evil\\u202efdp.exe"),
        ("", "document"),
        ("..", "document"),
        (".", "document"),
        ("/", "document"),
        ("-rf", "-rf"),
        ("CON", "CON"),
        ("résumé 简历.pdf", "résumé 简历.pdf"),
    ],
)
def test_f01_f02_names_are_shown_without_folders_and_unprintables(raw: str, shown: str) -> None:
    assert display_name(raw) == shown


def test_f02_a_long_name_is_cut() -> None:
    assert len(display_name("n" * 300 + ".pdf")) <= 200


@pytest.mark.parametrize("name", ["../../../x.txt", "x/../../y.txt", "a.txt/../../b", "x.tar/../z", "name", "a.p df"])
@pytest.mark.parametrize("thread", ["t", "../../..", "/abs", "a\x00b"])
def test_f01_no_name_decides_where_a_file_goes(tmp_path: Path, name: str, thread: str) -> None:
    received = tmp_path / "received"
    received.write_bytes(b"text")
    folder = tmp_path / "uploads"
    kept = store(received, name, folder, thread)
    assert kept.parent.parent == folder
    assert kept.read_bytes() == b"text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["received", "uploads"]


def test_d29_the_same_bytes_in_one_thread_are_kept_once(tmp_path: Path) -> None:
    received = tmp_path / "received"
    received.write_bytes(b"text")
    first = store(received, "a.txt", tmp_path / "up", "t")
    assert store(received, "b.txt", tmp_path / "up", "t") == first
    assert store(received, "a.txt", tmp_path / "up", "other") != first
    received.unlink()
    assert first.read_bytes() == b"text"
    assert not list((tmp_path / "up").rglob("*.part"))


def _add(tmp_path: Path, content: bytes, name: str, assistant: ScriptedAssistant) -> uploads.Outcome:
    received = tmp_path / "received"
    received.write_bytes(content)
    return add_file(assistant, received, name, tmp_path / "uploads", "thread")


def test_a_file_gets_in_and_a_second_time_is_known(tmp_path: Path) -> None:
    assistant = ScriptedAssistant()
    outcome = _add(tmp_path, b"some words", "notes.txt", assistant)
    assert outcome.name == "notes.txt"
    assert outcome.document_id in assistant.library.records
    assert outcome.sentence == "3 passages"
    again = _add(tmp_path, b"some words", "notes.txt", assistant)
    assert again.document_id == outcome.document_id
    assert again.sentence == "already in this chat"


def test_d01_an_empty_file_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    outcome = _add(tmp_path, b"", "empty.txt", ScriptedAssistant())
    assert outcome.document_id is None
    assert outcome.sentence == "empty.txt is empty: nothing was added."
    assert not [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]


def test_k04_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(uploads.os, "link", full)
    monkeypatch.setattr(uploads.shutil, "copyfile", full)
    outcome = _add(tmp_path, b"x", "x.txt", ScriptedAssistant())
    assert outcome.document_id is None
    assert "disk is full" in outcome.sentence


def test_a_deleted_thread_takes_its_documents_and_memory_but_nothing_that_was_kept(tmp_path: Path) -> None:
    assistant = ScriptedAssistant()
    outcomes = []
    for text in ("kept", "gone"):
        (tmp_path / "received").unlink(missing_ok=True)  # what is kept is a link to it
        outcomes.append(_add(tmp_path, text.encode(), f"{text}.txt", assistant))
    other = assistant.add_documents([tmp_path / "received"], thread="another")
    assistant.keep_document(str(outcomes[0].document_id))
    forget_thread(assistant.library, assistant.forget, tmp_path / "uploads", "thread")
    assert set(assistant.library.records) == {outcomes[0].document_id, *other.document_ids.values()}
    assert [path.read_text() for path in (tmp_path / "uploads").rglob("*.txt")] == ["kept"]
    assert assistant.forgotten == ["thread"]
    assert (tmp_path / "received").exists()
