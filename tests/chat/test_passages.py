"""Sources in words: their place, their quote, and the text around it (D24)."""

from __future__ import annotations

from typing import Any

import pytest

from agent.events import Source
from chat.passages import passage, place, quoted


def _source(**facts: Any) -> Source:
    given: dict[str, Any] = {
        "number": 1,
        "document": "report.pdf",
        "document_id": "d",
        "collection": "default",
        "page": None,
        "position": None,
        "start": 0,
        "end": 0,
        "quote": "",
        "score": 1.0,
    }
    return Source(**{**given, **facts})


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"page": 3}, "report.pdf, page 3"),
        ({}, "report.pdf"),
        ({"document": "notes.md", "position": "Barns / New"}, "notes.md, Barns / New"),
        ({"document": "years/2023.pdf", "page": 1}, "years/2023.pdf, page 1"),
        ({"document": "evil\u202efdp.exe"}, "evil\\u202efdp.exe"),
    ],
)
def test_place(facts: dict[str, Any], words: str) -> None:
    assert place(_source(**facts)) == words


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    shown = place(_source(document="a" * 60 + "-2023.pdf"))
    assert shown.startswith("aaaa")
    assert "…" in shown
    assert shown.endswith("-2023.pdf")
    assert len(shown) <= 50


def test_the_quote_is_marked_in_its_surroundings() -> None:
    text = "First line.\nThe silo holds forty tonnes. It is old.\nLast line."
    start = text.index("The silo")
    source = _source(start=start, end=text.index("\nLast"), quote="The silo holds forty tonnes.")
    assert passage(source, text) == "First line.\n**The silo holds forty tonnes.** It is old.\nLast line."


def test_a_quote_over_several_lines_is_marked_line_by_line() -> None:
    text = "a\nb c\n\nd\ne"
    assert passage(_source(start=2, end=8, quote="b c\n\nd"), text) == "a\n**b c**\n\n**d**\ne"


def test_where_the_quote_is_not_found_the_whole_passage_is_marked() -> None:
    assert passage(_source(start=4, end=7, quote="something else"), "one two three") == "one **two** three"


@pytest.mark.parametrize(("text", "start", "end"), [(None, 0, 3), ("ab", 0, 3), ("abc", 2, 2), ("abc", -1, 2)])
def test_where_the_text_is_gone_or_changed_the_quote_alone_is_shown(text: str | None, start: int, end: int) -> None:
    assert passage(_source(start=start, end=end, quote="the *quote*"), text) == "> the \\*quote\\*"


def test_text_far_away_is_left_out() -> None:
    text = "x" * 5000 + " middle " + "y" * 5000
    shown = passage(_source(start=5001, end=5007, quote="middle"), text)
    assert "**middle**" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 2000


def test_quoted_lines_stay_in_the_quote() -> None:
    assert quoted("one\n\n# two") == "> one\n> \\# two"
