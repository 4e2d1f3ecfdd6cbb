"""A thread as a file, with its sources and feedback; and one that is deleted for good, of which nothing is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.assembly import House
from agent.memory import FILE_NAME, ThreadMemory
from chat.elements import Elements
from chat.export import as_markdown, exported, file_name
from chat.feedback import Feedback
from chat.people import People
from chat.store import Store
from chat.tables import schema
from chat.threads import Threads
from chat.uploads import store
from hearth import main
from retrieval import Library
from retrieval.owners import thread_collection
from tests.doubles import HashEmbeddings

SOURCE = {
    "number": 1, "document": "harvest <b>.pdf", "document_id": "d1", "page": 2, "start": 0, "end": 12,
    "quote": "Nine tonnes.\nOf barley.", "score": 0.9,
}  # fmt: skip
ANSWER = {"answer": "Nine tonnes [1].", "sources": [SOURCE], "tool": "answer", "model": "m@1", "supported": True}


class Kept:
    """A home with one chat of an owner's in which everything is that a chat can hold."""

    def __init__(self, home: Path, owner: str = "you", thread: str = "t1", word: str = "canary") -> None:
        self.store = Store(home)
        self.threads, self.feedback = Threads(self.store), Feedback(self.store)
        elements = Elements(self.store)
        run = f"{thread}-run"
        for step, kind, parent, text in (
            ("q", "user_message", None, f"How *big* was the {word}?"),
            ("run", "run", "q", ""),
            ("notice", "assistant_message", run, "✓ `harvest.pdf` in this chat"),
            ("tool", "tool", run, "raw"),
            ("a", "assistant_message", run, "Nine tonnes [1](#source-1)."),
        ):
            body = {"id": f"{thread}-{step}", "threadId": thread, "type": kind, "output": text, "parentId": parent}
            self.threads.save_step(owner, {**body, "createdAt": "2026-01-02T03:04:05Z"})
        self.threads.update(owner, thread, name=f"Barley & {word}!")
        file = {"id": f"{thread}-e", "threadId": thread, "forId": f"{thread}-q", "name": f"{word}.pdf"}
        elements.save(owner, file, f"{word} in a file".encode())
        self.feedback.keep_answer(owner, thread, f"{thread}-a", f"{word}?", ANSWER)
        self.feedback.mark(owner, run, 0, f"too {word}")
        self.feedback.correct(owner, f"{thread}-a", "answer", "Nine tonnes [1].", f"Ten {word}.")
        self.feedback.correct(owner, f"{thread}-a", "source", "1", "")


def test_a_thread_is_saved_with_its_sources_and_feedback(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    thread = exported(kept.threads, kept.feedback, "you", "t1")
    assert thread is not None
    assert (thread["id"], thread["name"], thread["user"]) == ("t1", "Barley & canary!", "you")
    question, notice, answer = thread["messages"]
    assert (question["role"], question["text"], question["files"]) == (
        "user",
        "How *big* was the canary?",
        ["canary.pdf"],
    )
    assert notice["good"] is None
    assert "sources" not in notice
    assert (answer["text"], answer["sources"], answer["model"]) == ("Nine tonnes [1].", [SOURCE], "m@1")
    assert (answer["good"], answer["comment"]) == (False, "too canary")
    assert [(one["kind"], one["right"]) for one in answer["corrections"]] == [("answer", "Ten canary."), ("source", "")]
    json.dumps(thread)
    assert file_name(thread, "md") == "hearth-barley-canary.md"
    assert file_name({"name": "../“日本”"}, "json") == "hearth-chat.json"
    assert exported(kept.threads, kept.feedback, "ben", "t1") is None
    kept.threads.update("you", "t1", is_shared=True)
    assert exported(kept.threads, kept.feedback, "ben", "t1") is None
    assert kept.feedback.corrections("ben", "t1") == {}


def test_the_readable_form_holds_the_same_and_no_live_markup(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    thread = exported(kept.threads, kept.feedback, "you", "t1")
    assert thread is not None
    text = as_markdown(thread)
    for line in (
        "# Barley \\& canary\\!",
        "**You**, 2026-01-02 03:04 UTC",
        "How \\*big\\* was the canary?",
        "Files: canary.pdf",
        "Nine tonnes [1].",
        "> Nine tonnes.\n> Of barley.",
        "Marked bad: too canary",
        "Corrected, the answer should have been: Ten canary.",
        "Corrected, source 1 should have been: none",
    ):
        assert line in text
    assert "<b>" not in text
    assert "raw" not in text


def test_chats_on_the_command_line_are_listed_saved_and_gone_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Q09: no row, no file, no element, no passage and no word of the memory is left, and the next chat's all are."""
    home = tmp_path / "home"
    monkeypatch.setattr(House, "library", lambda self: Library.open(self.home / "library", HashEmbeddings()))
    People(Store(home)).add("ann", "correct horse")
    memory = ThreadMemory(home / "chats" / FILE_NAME)
    dropped = tmp_path / "dropped"
    threads = [("you", "t1", "canary"), ("ann", "t2", "magpie")]
    with Library.open(home / "library", HashEmbeddings()) as library:
        for owner, thread, word in threads:
            Kept(home, owner, thread, word)
            dropped.write_text(f"The {word} sings in the morning.")
            part, said = (library, memory) if owner == "you" else (library.for_user(owner), memory.of(owner))
            file = store(dropped, f"{word}.txt", home / "uploads", thread)
            part.add([file], collection=thread_collection(thread, part.user))
            said.add(thread, f"How big was the {word}?", f"A {word}.")
        assert library.search("magpie", collections=library.collections())
    dropped.unlink()

    def run(*arguments: str) -> tuple[int, Any]:
        status = main([*arguments, "--json", "--home", str(home)])
        return status, json.loads(capsys.readouterr().out)

    assert {(chat["id"], chat["user"]) for chat in run("chats", "list")[1]} == {("t1", "you"), ("t2", "ann")}
    assert [chat["id"] for chat in run("chats", "list", "--user", "ann")[1]] == ["t2"]
    assert run("chats", "export", "t2")[1]["messages"][0]["text"] == "How *big* was the magpie?"
    assert main(["chats", "export", "t1", "--home", str(home)]) == 0
    assert "Marked bad: too canary" in capsys.readouterr().out
    for owner, thread, word in threads:
        assert run("chats", "delete", thread) == (0, {"id": thread, "user": owner, "done": "deleted"})
        left = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
        assert [path for path, content in left.items() if word.encode() in content] == []
        assert any(b"magpie" in content for content in left.values()) == (word == "canary")
    assert run("chats", "delete", "t1")[1]["error"]["code"] == "not_there"
    assert run("chats", "export", "none")[1]["error"]["code"] == "not_there"
    assert run("chats", "list") == (0, [])
    with Store(home).reading() as connection:
        for table in ("threads", "steps", "elements", "answers", "feedback", "corrections"):
            assert table in schema("")
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert [*(home / "uploads").rglob("*.txt")] == [*(home / "chats" / "files").rglob("*")] == []
    with Library.open(home / "library", HashEmbeddings()) as library:
        assert library.documents(library.collections()) == []
