"""Threads, their elements and feedback as they are kept: whose they are, in what order, and gone when deleted."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from chat.elements import Elements
from chat.errors import ChatsUnreadable, NotThere
from chat.feedback import Feedback
from chat.review_rows import KINDS, rows
from chat.store import FILE_NAME
from chat.tables import FOLDER, open_store, schema
from chat.threads import Threads
from training.layouts import conversation_of, judged_of, preference_of


class Kept:
    """A home's chats, opened anew each time, as after a restart."""

    def __init__(self, home: Path, url: str = "") -> None:
        self.home, self.url = home, url
        self.store = open_store(home, url)
        self.threads = Threads(self.store)
        self.elements = Elements(self.store)
        self.feedback = Feedback(self.store)

    def again(self) -> Kept:
        self.store.close()
        return Kept(self.home, self.url)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables, read by another connection."""
        other = open_store(self.home, self.url)
        tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", schema(""))
        with other.reading() as connection:
            found = {table: [*map(tuple, connection.execute(f"SELECT * FROM {table}"))] for table in tables}
        other.close()
        return found

    def say(self, owner: str, thread: str, step: str, text: str, kind: str = "assistant_message") -> None:
        self.threads.save_step(owner, {"id": step, "threadId": thread, "type": kind, "output": text})


@pytest.fixture(params=["file", "server"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return Kept(tmp_path, request.getfixturevalue("database") if request.param == "server" else "")


@pytest.fixture
def in_a_file(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_thread_is_as_it_was_after_a_restart(kept: Kept) -> None:
    kept.threads.update("ann", "t1", name="  A  name\n", metadata={"chat_settings": {"a": 1}})
    for number in range(60):
        kept.say("ann", "t1", f"s{number}", f"text {number} \udcff 日本")
    kept.say("ann", "t1", "s3", "changed")
    kept.feedback.mark("ann", "s3", 1, "good one")
    kept.elements.save("ann", {"id": "e1", "threadId": "t1", "mime": "text/plain"}, b"content")
    again = kept.again()
    thread = again.threads.thread("ann", "t1")
    assert thread is not None
    assert (thread["name"], thread["userIdentifier"], thread["metadata"]["chat_settings"]) == (
        "A name",
        "ann",
        {"a": 1},
    )
    outputs = [step["output"] for step in thread["steps"]]
    assert outputs == [f"text {n} ? 日本" if n != 3 else "changed" for n in range(60)]
    assert thread["steps"][3]["feedback"]["value"] == 1
    path, element = again.elements.file("ann", "t1", "e1")
    assert (path.read_bytes(), element["mime"]) == (b"content", "text/plain")


def test_s03_c4_to_c7_another_person_finds_and_changes_nothing(kept: Kept) -> None:
    kept.say("ann", "t1", "s1", "canary")
    kept.elements.save("ann", {"id": "e1", "threadId": "t1"}, b"canary")
    mark = kept.feedback.mark("ann", "s1", 0)
    kept.feedback.keep_answer("ann", "t1", "s1", "q", {"answer": "canary", "sources": []})
    before = kept.everything()
    kept.say("ben", "t2", "s2", "mine")
    for attempt in (
        lambda: kept.threads.update("ben", "t1", name="x"),
        lambda: kept.threads.delete("ben", "t1"),
        lambda: kept.say("ben", "t1", "s9", "x"),
        lambda: kept.say("ben", "t2", "s1", "x"),
        lambda: kept.threads.delete_step("ben", "s1"),
        lambda: kept.elements.save("ben", {"id": "e1", "threadId": "t2"}, b"x"),
        lambda: kept.elements.save("ben", {"id": "e2", "threadId": "t1"}, b"x"),
        lambda: kept.elements.delete("ben", "e1"),
        lambda: kept.elements.file("ben", "t1", "e1"),
        lambda: kept.elements.file("ben", "t2", "e1"),
        lambda: kept.feedback.mark("ben", "s1", 1),
        lambda: kept.feedback.unmark("ben", mark),
        lambda: kept.feedback.correct("ben", "s1", "answer", "a", "b"),
        lambda: kept.feedback.keep_answer("ben", "t1", "s1", "q", {}),
        lambda: kept.feedback.keep_answer("ben", "t2", "s1", "q", {}),
    ):
        with pytest.raises(NotThere):
            attempt()
    assert kept.threads.thread("ben", "t1") is None
    assert not kept.threads.owns("ben", "t1")
    assert kept.elements.element("ben", "t1", "e1") is None
    assert kept.feedback.answer("ben", "s1") is None
    assert kept.feedback.answers("ben", "t1") == {}
    assert [thread["id"] for thread in kept.threads.page("ben", first=50).threads] == ["t2"]
    kept.threads.delete("ben", "t2")
    after = kept.everything()
    assert after.pop("deleted_threads") == [("t2",)]
    assert before.pop("deleted_threads") == []
    assert after == before


def test_a_shared_thread_is_read_by_others_and_changed_by_none(kept: Kept) -> None:
    kept.say("ann", "t1", "s1", "text")
    kept.feedback.mark("ann", "s1", 0, "private words")
    kept.elements.save("ann", {"id": "e1", "threadId": "t1"}, b"content")
    kept.threads.update("ann", "t1", is_shared=True)
    thread = kept.threads.thread("ben", "t1")
    assert thread is not None
    assert [step["output"] for step in thread["steps"]] == ["text"]
    assert "private words" not in str(thread)
    assert kept.elements.file("ben", "t1", "e1")[0].read_bytes() == b"content"
    with pytest.raises(NotThere):
        kept.threads.update("ben", "t1", name="x")
    assert kept.threads.page("ben", first=50).threads == []
    kept.threads.update("ann", "t1", is_shared=False)
    assert kept.threads.thread("ben", "t1") is None


def test_k12_pages_follow_one_another_by_the_last_word_said(kept: Kept) -> None:
    for number in range(7):
        kept.say("ann", f"t{number}", f"s{number}", "x")
    kept.say("ann", "t2", "s2b", "again")
    wanted = ["t2", "t6", "t5", "t4", "t3", "t1", "t0"]
    seen: list[str] = []
    more = True
    while more:
        page = kept.threads.page("ann", first=3, after=seen[-1] if seen else None)
        seen += [thread["id"] for thread in page.threads]
        more = page.more
    assert seen == wanted


def test_search_looks_into_names_and_messages_with_no_wildcards(kept: Kept) -> None:
    kept.threads.update("ann", "t1", name="Straße 50%")
    kept.say("ann", "t2", "s2", "The HARVEST was big")
    kept.say("ann", "t3", "s3", "harvest", kind="tool")

    def found(text: str) -> set[str]:
        return {thread["id"] for thread in kept.threads.page("ann", first=9, search=text).threads}

    assert found("harvest") == {"t2"}
    assert found("STRASSE") == {"t1"}
    assert found("50%") == {"t1"}
    assert found("%") == {"t1"}
    assert found("") == {"t1", "t2", "t3"}
    kept.feedback.mark("ann", "s2", 0)
    assert [t["id"] for t in kept.threads.page("ann", first=9, feedback=0).threads] == ["t2"]
    assert kept.threads.page("ann", first=9, feedback=1).threads == []


def test_q09_deleting_is_for_good_and_nothing_comes_back(kept: Kept, tmp_path: Path) -> None:
    kept.say("ann", "t1", "s1", "canary in a step")
    kept.elements.save("ann", {"id": "e1", "threadId": "t1"}, b"canary in a file")
    kept.feedback.keep_answer("ann", "t1", "s1", "canary in a question", {"sources": []})
    kept.feedback.mark("ann", "s1", 1, "canary in a comment")
    kept.feedback.correct("ann", "s1", "answer", "canary", "canary")
    kept.threads.delete("ann", "t1")
    kept.elements.sweep()
    for late in (lambda: kept.say("ann", "t1", "s2", "x"), lambda: kept.threads.update("ann", "t1", name="x")):
        with pytest.raises(NotThere):
            late()
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"canary" not in left
    rows = kept.everything()
    assert rows.pop("deleted_threads") == [("t1",)]
    assert not any(rows.values())


def test_f01_ids_of_a_client_are_no_paths(kept: Kept) -> None:
    kept.elements.save("ann", {"id": "../../e", "threadId": "../../../t"}, b"x")
    path, _ = kept.elements.file("ann", "../../../t", "../../e")
    assert path.is_relative_to(kept.store.files)
    for too_long in (
        {"id": "e", "threadId": "t" * 101},
        {"id": "e" * 101, "threadId": "t"},
        {"id": "", "threadId": "t"},
    ):
        with pytest.raises(NotThere):
            kept.elements.save("ann", too_long, b"x")


def test_deleting_a_step_or_element_takes_what_hangs_on_it(kept: Kept) -> None:
    kept.say("ann", "t1", "s1", "x")
    kept.feedback.keep_answer("ann", "t1", "s1", "q", {"sources": []})
    kept.feedback.mark("ann", "s1", 1)
    kept.elements.save("ann", {"id": "e1", "threadId": "t1"}, b"x")
    path, _ = kept.elements.file("ann", "t1", "e1")
    kept.threads.delete_step("ann", "s1")
    kept.threads.delete_step("ann", "s1")
    kept.elements.delete("ann", "e1")
    kept.elements.delete("ann", "e1")
    assert kept.feedback.reviews() == []
    assert kept.feedback.answer("ann", "s1") is None
    assert not path.exists()


@pytest.mark.parametrize("damage", ["newer", "no database", "page"])
def test_k06_a_file_that_cannot_be_used_is_named_and_left_alone(in_a_file: Kept, damage: str, tmp_path: Path) -> None:
    for number in range(20):
        in_a_file.say("ann", "t1", f"s{number}", "x" * 4000)
    in_a_file.store.close()
    file = tmp_path / FOLDER / FILE_NAME
    if damage == "newer":
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA user_version=99")
        connection.close()
    elif damage == "page":
        with file.open("r+b") as opened:
            opened.seek(4096 * 12)
            opened.write(b"\xff" * 8192)
    else:
        file.write_bytes(b"not a database, but long enough to be read as one" * 50)
    before = file.read_bytes()
    with pytest.raises(ChatsUnreadable, match=r"chats\.sqlite"):
        Kept(tmp_path)
    assert file.read_bytes() == before


SOURCES = [
    {"number": 1, "document": "a.pdf", "quote": "Nine tonnes."},
    {"number": 2, "document": "b.pdf", "quote": "Ten sheep."},
]


def test_a_mark_on_a_run_is_a_mark_on_the_answer_given_in_it(kept: Kept) -> None:
    kept.say("ann", "t1", "run", "", kind="run")
    for step in ("notice", "answer"):
        body = {"id": step, "threadId": "t1", "parentId": "run", "type": "assistant_message", "output": step}
        kept.threads.save_step("ann", body)
    kept.feedback.keep_answer("ann", "t1", "answer", "q", {"answer": "a", "sources": []})
    kept.feedback.mark("ann", "run", 0, "too short")
    kept.feedback.correct("ann", "answer", "answer", "a", "b")
    [review] = kept.feedback.reviews()
    assert (review["id"], review["question"], review["good"], review["comment"]) == ("answer", "q", False, "too short")
    assert [one["right"] for one in review["corrections"]] == ["b"]


def test_feedback_becomes_rows_that_recipes_read(kept: Kept) -> None:
    answers: dict[str, dict[str, Any]] = {
        "good": {"answer": "Nine.", "sources": SOURCES, "tool": "answer", "model": "m@1"},
        "bad": {"answer": "Ten.", "sources": [], "tool": None, "model": "m@1"},
        "fixed": {"answer": "Eight.", "sources": SOURCES, "tool": "answer", "model": "m@1"},
        "mood": {"answer": "glad", "sources": [], "tool": "classify", "data": [{"label": "glad", "score": 0.9}]},
        "silent": {"answer": "?", "sources": []},
    }
    for step, answer in answers.items():
        kept.say("ann", "t1", step, answer["answer"])
        kept.feedback.keep_answer("ann", "t1", step, f"question of {step}", answer)
    kept.feedback.mark("ann", "good", 0)
    kept.feedback.mark("ann", "good", 1, "right")
    kept.feedback.mark("ann", "bad", 0)
    kept.feedback.correct("ann", "fixed", "answer", "Eight.", "Nine.")
    kept.feedback.correct("ann", "fixed", "source", "2", "")
    kept.feedback.correct("ann", "mood", "label", "glad", "sad")
    reviews = {review["id"]: review for review in kept.feedback.reviews()}
    assert set(reviews) == {"good", "bad", "fixed", "mood"}
    assert reviews["good"] | {"at": ""} == answers["good"] | {
        "id": "good", "thread": "t1", "user": "ann", "at": "", "comment": "right", "corrections": [], "good": True,
        "question": "question of good",
    }  # fmt: skip
    made = {kind: rows(kind, reviews.values()) for kind in KINDS}
    assert made["classify"] == [{"text": "question of mood", "label": "sad"}]
    assert made["ranking"] == [
        {"text": "question of fixed", "positives": ["Nine tonnes."], "negatives": ["Ten sheep."]},
        {"text": "question of good", "positives": ["Nine tonnes.", "Ten sheep."], "negatives": []},
    ] or made["ranking"][::-1] == [
        {"text": "question of fixed", "positives": ["Nine tonnes."], "negatives": ["Ten sheep."]},
        {"text": "question of good", "positives": ["Nine tonnes.", "Ten sheep."], "negatives": []},
    ]
    asked = [conversation_of(row) for row in made["chat"]]
    assert {one["answer"] for one in asked} == {"Nine."}
    assert all("Nine tonnes." in str(one["messages"]) for one in asked)
    assert [preference_of(row)["rejected"] for row in made["dpo"]] == ["Eight."]
    assert sorted((judged_of(row)["answer"], judged_of(row)["good"]) for row in made["kto"]) == [
        ("Eight.", 0.0), ("Nine.", 1.0), ("Ten.", 0.0),
    ]  # fmt: skip
