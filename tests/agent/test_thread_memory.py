"""Threads: kept with their owner, in one file for several processes, folded into a summary when they grow long."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import hearth
from agent.assistant import Assistant
from agent.errors import ThreadsUnreadable
from agent.memory import FILE_NAME, Earlier, ThreadMemory, Turn
from agent.settings import Settings
from agent.thread_summary import fold
from models.errors import Busy
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chats" / FILE_NAME


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        yield library


def _write(file: Path, name: str) -> None:
    memory = ThreadMemory(file)
    for number in range(25):
        memory.add("shared", f"{name} asks {number}", "yes")


def test_a_thread_goes_on_in_another_process_and_two_may_write_at_once(file: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(file, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    asked = [turn.question for turn in ThreadMemory(file).turns("shared")]
    assert len(asked) == 50
    for name in ("a", "b"):
        assert [question for question in asked if question.startswith(name)] == [f"{name} asks {n}" for n in range(25)]


@pytest.mark.parametrize("kept", [True, False])
def test_a_thread_is_its_owners_alone(file: Path, kept: bool) -> None:
    nobody = ThreadMemory(file if kept else None)
    ada, ben = nobody.of("ada"), nobody.of("ben")
    ada.add("t", "I am Ada.", "Hello.")
    ada.summarised("t", Earlier("Ada spoke.", 1))
    assert ben.turns("t") == nobody.turns("t") == []
    assert ben.earlier("t") == Earlier()
    ben.forget()
    nobody.forget("t")
    assert [turn.question for turn in ada.turns("t")] == ["I am Ada."]
    ada.forget("t")
    assert ada.turns("t") == []
    assert ada.earlier("t") == Earlier()


def test_what_is_forgotten_is_gone_from_the_file_which_nobody_else_may_read(file: Path) -> None:
    memory = ThreadMemory(file)
    memory.add("t", "the secret is blue", "Noted.")
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    memory.forget()
    assert b"secret is blue" not in file.read_bytes()


def test_asking_without_a_thread_makes_no_file(file: Path) -> None:
    memory = ThreadMemory(file)
    memory.add(None, "a", "b")
    assert memory.messages("t", 100, words) == []
    assert not file.exists()


def test_a_broken_or_newer_file_is_named(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"not a database, but long enough to be looked at " * 100)
    with pytest.raises(ThreadsUnreadable, match="move the file away"):
        ThreadMemory(file).turns("t")
    file.unlink()
    ThreadMemory(file).add("t", "a", "b")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(ThreadsUnreadable, match="newer Hearth"):
        ThreadMemory(file).add("t", "a", "b")


def test_an_answer_is_given_though_its_turn_cannot_be_kept(library: Library, tmp_path: Path) -> None:
    (tmp_path / "chats").write_text("a file where the folder should be")
    memory = ThreadMemory(tmp_path / "chats" / FILE_NAME)
    house = Assistant(ScriptedChatModel(replies=["Blue."]), library, Settings(home=tmp_path), memory=memory)
    assert house.ask("Which colour is the sky?", thread="t").text == "Blue."


def test_what_is_written_is_said_literally(file: Path) -> None:
    """Q05, Q06: operators, markup and serialised objects are text."""
    said = '\'; DROP TABLE turns; -- {"lc":1,"type":"secret"} {{7*7}} \x00 \x1b[31m'
    memory = ThreadMemory(file)
    memory.add(said, said, said)
    assert memory.turns(said) == [Turn(1, said, said, said)]


@pytest.mark.parametrize("kept", [True, False])
def test_q09_an_edited_message_takes_its_turn_and_the_later_ones_with_it(file: Path, kept: bool) -> None:
    memory = ThreadMemory(file if kept else None)
    memory.take_back("t", ["m1"])
    for number in range(1, 6):
        memory.add("t", f"question {number}", "yes", message=None if number == 1 else f"m{number}")
    memory.add("other", "question", "yes", message="m3")
    memory.of("ada").add("t", "question", "yes", message="m3")
    memory.summarised("t", Earlier("The first two.", 2))
    memory.take_back("t", ["m9", "m4"])
    assert [turn.question for turn in memory.turns("t")] == ["question 1", "question 2", "question 3"]
    assert memory.earlier("t") == Earlier("The first two.", 2)
    memory.take_back("t", ["m2"])
    assert [turn.question for turn in memory.turns("t")] == ["question 1"]
    assert memory.earlier("t") == Earlier()
    assert len(memory.turns("other")) == len(memory.of("ada").turns("t")) == 1


def test_q09_the_next_answer_does_not_see_what_was_taken_back(library: Library, tmp_path: Path) -> None:
    model = ScriptedChatModel(replies=["Noted.", "Noted.", "You said so."])
    house = Assistant(model, library, Settings(home=tmp_path), memory=ThreadMemory())
    house.ask("My name is Ada.", thread="t", tool="none", message="m1")
    house.ask("The canary is blue.", thread="t", tool="none", message="m2")
    house.take_back("t", ["m2"])
    house.ask("What did I say?", thread="t", tool="none", message="m2")
    seen = str(model.asked[-1])
    assert "My name is Ada." in seen
    assert "canary" not in seen


def test_a_file_of_the_form_before_goes_on(file: Path) -> None:
    ThreadMemory(file).add("t", "a", "b")
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE turns DROP COLUMN message")
        connection.execute("PRAGMA user_version=1")
    connection.close()
    memory = ThreadMemory(file)
    assert [turn.question for turn in memory.turns("t")] == ["a"]
    memory.add("t", "c", "d", message="m")
    memory.take_back("t", ["m"])
    assert [turn.question for turn in memory.turns("t")] == ["a"]


def long_thread(memory: ThreadMemory) -> None:
    for number in range(1, 9):
        memory.add("t", f"question about Varn number {number}", f"answer {number}")


def folded(memory: ThreadMemory, model: ScriptedChatModel) -> Earlier:
    return fold(memory, "t", model, budget_tokens=30, prompt_tokens=1000)


def test_old_turns_are_folded_into_a_summary_once(file: Path) -> None:
    memory = ThreadMemory(file)
    long_thread(memory)
    model = ScriptedChatModel(replies=["The person asked about Varn."])
    found = folded(memory, model)
    # Seven tokens a turn: four fit thirty, and half of the room is left free for the turns that come.
    assert found == Earlier("The person asked about Varn.", 6)
    asked = str(model.asked[0][-1].content)
    assert "number 6" in asked
    assert "number 7" not in asked
    assert folded(memory, model) == found
    memory.add("t", "question about Varn number 9", "answer 9")
    assert folded(memory, model) == found  # six more tokens fit
    assert len(model.asked) == 1
    for number in (10, 11):
        memory.add("t", f"question about Varn number {number}", f"answer {number}")
    assert folded(memory, model).up_to == 9
    assert "Before: The person asked about Varn." in str(model.asked[1][-1].content)


def test_a_short_thread_is_not_summarised() -> None:
    memory, model = ThreadMemory(), ScriptedChatModel(replies=["x"])
    memory.add("t", "one question", "one answer")
    assert folded(memory, model) == Earlier()
    assert fold(memory, None, model, budget_tokens=1, prompt_tokens=10) == Earlier()
    assert model.asked == []


def test_made_up_sentences_do_not_enter_the_summary() -> None:
    memory = ThreadMemory()
    long_thread(memory)
    model = ScriptedChatModel(replies=["The person asked about Varn. Napoleon came in 1815. They asked 6 questions."])
    assert folded(memory, model).text == "The person asked about Varn. They asked 6 questions."


@pytest.mark.parametrize("error", [Busy(4, 4), None])
def test_a_model_that_fails_drops_the_old_turns_as_before(error: Exception | None) -> None:
    memory = ThreadMemory()
    long_thread(memory)
    model = ScriptedChatModel(replies=["Napoleon won."], error=error)
    assert folded(memory, model) == Earlier("", 6)
    assert folded(memory, model) == Earlier("", 6)
    assert len(model.asked) == 1  # it is not tried again for every question


def test_the_summary_stands_before_the_turns_that_fit(library: Library, tmp_path: Path) -> None:
    model = ScriptedChatModel(replies=["The person asked about Varn.", "Yes."], window_tokens=200)
    memory = ThreadMemory()
    long_thread(memory)
    Assistant(model, library, Settings(home=tmp_path), memory=memory).ask("And now?", thread="t")
    system, *turns, last = [str(message.content) for message in model.asked[-1]]
    assert system.endswith("Earlier in this conversation: The person asked about Varn.")
    said = [(f"question about Varn number {number}", f"answer {number}") for number in range(4, 9)]
    assert turns == [text for turn in said for text in turn]
    assert last == "And now?"


def test_the_verb_continues_a_thread_and_a_users_is_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ScriptedChatModel(replies=["Nice to meet you, Ada.", "Ada."])
    monkeypatch.setattr("agent.assembly.House.chat_model", lambda self: model)
    monkeypatch.setattr("agent.assembly.House.talker", lambda self: None)
    monkeypatch.setattr("agent.assembly.House.embeddings", lambda self: HashEmbeddings())
    home = ["--home", str(tmp_path / "home"), "--json"]
    for question in ("I am Ada.", "What is my name?"):
        assert hearth.main(["ask", question, "--thread", "t", *home]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["answer"] == "Ada."
    assert [message.content for message in model.asked[1][1:-1]] == ["I am Ada.", "Nice to meet you, Ada."]
    assert ThreadMemory(tmp_path / "home" / "chats" / FILE_NAME).of("ada").turns("t") == []
