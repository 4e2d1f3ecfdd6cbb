"""Questions asked about texts that nobody labelled: what is learned, what is kept of what was written, and going on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from hearth import main
from models.prompts import asking_messages
from training.errors import DataError, DataNotFound
from training.questions import Passage, ask, questions_in
from training.tasks.answer_rows import laid_out
from training.tasks.asking import asking_rows

PARAGRAPHS = [
    f"The {name} was built in {year} by the town of {town}. " + "It stands beside the river and is open all year. " * 4
    for name, year, town in (("mill", 1612, "Hale"), ("bridge", 1745, "Orton"), ("tower", 1390, "Selby"))
]
PARAGRAPHS = [paragraph.strip() for paragraph in PARAGRAPHS]


def test_a_row_learns_its_shortest_answer_and_then_the_question() -> None:
    row = {
        "question": "When was  the mill built?",
        "context": PARAGRAPHS[0],
        "answers": {"text": ["in 1612", "1612"], "answer_start": [23, 26]},
    }
    [made] = asking_rows(row)
    assert made["answer"] == "1612\nWhen was the mill built?"
    assert made["references"] == [made["answer"]]
    assert [one["content"] for one in made["messages"]] == [str(one.content) for one in asking_messages(PARAGRAPHS[0])]


def test_a_question_without_an_answer_is_not_learned() -> None:
    assert list(asking_rows({"question": "Who?", "context": PARAGRAPHS[0], "answers": []})) == []


def test_what_is_kept_of_what_was_written() -> None:
    passage = Passage(PARAGRAPHS[0], "Mills")
    replies = [
        "1612\nWhen was the mill built?",
        "1612\nIn what year was it built?",  # the same answer again
        "Hale\nWhen was the mill built?",  # the same question again
        "1999\nWhen was it closed?",  # stands nowhere
        "Hale\nWhich town is Hale?",  # says its answer
        "Hale",  # no question
        "Hale\nWhich?",  # none either
        "\nWhich town built the mill?",
        "Hale\nWhich town built\nthe mill?",
        PARAGRAPHS[0][:180] + "\nWhat is all of this about?",  # too long for an answer
        " Hale \n Which town built the mill? ",
    ]
    kept = list(questions_in(passage, replies))
    assert [(row["answers"]["text"][0], row["question"]) for row in kept] == [
        ("1612", "When was the mill built?"),
        ("Hale", "Which town built the mill?"),
    ]
    for row in kept:
        [read] = laid_out(row)  # what readers read
        assert PARAGRAPHS[0][read["starts"][0] :].startswith(read["answers"][0])
        assert row["title"] == "Mills"


@pytest.fixture
def asker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that asks twice about each paragraph, once without an answer; the paragraphs that it was shown."""
    shown: list[str] = []

    class Asker(GenericFakeChatModel):
        messages: Iterator[Any] = iter(())

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **more: Any) -> Any:
            text = str(messages[-1].content)
            shown.append(text)
            year, thing = text.split(" in ")[1][:4], text.split()[1]
            reply = f"{year}\nWhen was the {thing} built?" if shown.count(text) % 2 else "nothing"
            self.messages = iter([AIMessage(reply)])
            return super()._generate(messages, stop, run_manager)

    monkeypatch.setattr("models.chat.open_chat_model", lambda name, **how: Asker())
    monkeypatch.setattr("training.questions._AT_ONCE", 1)
    return shown


def texts(folder: Path) -> str:
    """A file of one article, its paragraphs a line each with a heading, and of one paragraph twice."""
    path = folder / "articles.jsonl"
    rows = [
        {"title": "Old things", "text": "\n".join(["Old things", *PARAGRAPHS[:2]])},
        {"context": PARAGRAPHS[2]},
        {"context": PARAGRAPHS[2]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_paragraph_is_asked_about_once(asker: list[str], tmp_path: Path) -> None:
    target = tmp_path / "asked.jsonl"
    report = ask([texts(tmp_path)], "x", target, home=tmp_path, each=2)
    assert report == {"paragraphs": 3, "rows": 3, "asked": 6, "left_out": 3}
    assert sorted(asker) == sorted(PARAGRAPHS * 2)
    assert {(row["title"], row["context"]) for row in rows_of(target)} == {
        ("Old things", PARAGRAPHS[0]), ("Old things", PARAGRAPHS[1]), ("", PARAGRAPHS[2]),
    }  # fmt: skip
    again = ask([texts(tmp_path)], "x", target, home=tmp_path, each=2)
    assert (again["asked"], again["rows"]) == (0, 3)


def test_asking_ends_at_the_number_wanted_and_goes_on(
    asker: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.questions._TOGETHER", 1)
    target, source = tmp_path / "asked.jsonl", texts(tmp_path)
    assert ask([source], "x", target, home=tmp_path, each=2, most=1)["rows"] == 1
    first = rows_of(target)
    assert ask([source], "x", target, home=tmp_path, each=2)["rows"] == 3
    assert rows_of(target)[:1] == first
    assert sorted(asker) == sorted(PARAGRAPHS * 2)


def test_a_line_that_was_cut_off_is_written_again(asker: list[str], tmp_path: Path) -> None:
    target, source = tmp_path / "asked.jsonl", texts(tmp_path)
    ask([source], "x", target, home=tmp_path, each=2)
    whole = rows_of(target)
    target.write_bytes(target.read_bytes()[:-20])
    ask([source], "x", target, home=tmp_path, each=2)
    assert sorted(map(str, rows_of(target))) == sorted(map(str, whole))


def test_what_a_reader_finds_elsewhere_is_left_out(
    asker: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader:
        def many(self, questions: list[str], texts: list[str], *, can_abstain: bool) -> list[Any]:
            assert not can_abstain
            return [SimpleNamespace(answer="1612" if "mill" in one else "the river") for one in questions]

    monkeypatch.setattr("models.tasks.extractor.Extractor", lambda name, home: Reader())
    target = tmp_path / "asked.jsonl"
    report = ask([texts(tmp_path)], "x", target, home=tmp_path, each=2, reader="r")
    assert (report["rows"], report["left_out"]) == (1, 5)
    assert [row["answers"]["text"] for row in rows_of(target)] == [["1612"]]


def test_a_file_of_something_else_is_not_written_to(asker: list[str], tmp_path: Path) -> None:
    target = tmp_path / "notes.jsonl"
    target.write_text('{"note": 1}\n')
    with pytest.raises(DataError, match=r"notes\.jsonl.*line 1.*name another file"):
        ask([texts(tmp_path)], "x", target, home=tmp_path)
    assert target.read_text() == '{"note": 1}\n'


def test_texts_that_cannot_be_asked_about_are_named(tmp_path: Path) -> None:
    target = tmp_path / "asked.jsonl"
    with pytest.raises(DataNotFound):
        ask([str(tmp_path / "none.jsonl")], "x", target, home=tmp_path)
    short, odd = tmp_path / "short.jsonl", tmp_path / "odd.jsonl"
    short.write_text('{"text": "too short"}\n')
    odd.write_text('{"body": "x"}\n')
    with pytest.raises(DataError, match="no paragraph of 200 to 1500 characters"):
        ask([str(short)], "x", target, home=tmp_path)
    with pytest.raises(DataError, match="'text' or 'context'; the columns are 'body'"):
        ask([str(odd)], "x", target, home=tmp_path)
    assert not target.exists()


def test_the_verb_says_what_it_did(asker: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "asked.jsonl")
    given = ["train", "ask", texts(tmp_path), "--asker", "x", "--output", output, "--each", "2"]
    assert main([*given, "--home", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "3 questions about 3 paragraphs are in the file; of 6 asked now 3" in said.out
    assert "3 of 3 paragraphs asked about, 3 questions" in said.err
