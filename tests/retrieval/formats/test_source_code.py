"""Source code: classes and functions are the headings, lines the positions."""

from __future__ import annotations

import pytest

from retrieval.formats.code import extract_code
from retrieval.splitters import Splitter
from tests.doubles import HashEmbeddings

PYTHON = """import os

class Store:
    def open(self):
        return os

    async def close(self) -> None:
        pass


def helper(x):
    if (x):
        return 1
"""


def names(source: str) -> list[tuple[int, str]]:
    return [(level, title) for _, level, title in extract_code(source.encode()).headings]


def test_python() -> None:
    assert names(PYTHON) == [(1, "class Store"), (2, "def open"), (2, "def close"), (1, "def helper")]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            "export default class App extends Base {\n  render() {\n    if (x) {\n    }\n  }\n}\n",
            [(1, "class App"), (2, "render")],
        ),
        (
            "export async function load(url) {\n}\nconst send = async (a) => {\n};\n",
            [(1, "function load"), (1, "send")],
        ),
        (
            "func (s *Server) Run(port int) error {\n}\ntype Point struct {\n}\n",
            [(1, "func Run"), (1, "type Point struct")],
        ),
        (
            "pub(crate) fn parse<T>(x: T) -> u8 {\n}\nimpl Trait for Thing {\n}\n",
            [(1, "fn parse<T>"), (1, "impl Trait")],
        ),
        (
            "public final class A {\n    private static int add(int a, int b) {\n        return a;\n    }\n}\n",
            [(1, "class A"), (2, "add")],
        ),
        ("int main(int argc, char **argv)\n{\n  return f(1);\n}\n", [(1, "main")]),
        ("CREATE TABLE IF NOT EXISTS people (\n  id int\n);\n", [(1, "TABLE people")]),
        ("deploy() {\n  echo hi\n}\n", [(1, "deploy")]),
    ],
)
def test_other_languages(source: str, found: list[tuple[int, str]]) -> None:
    assert names(source) == found


def test_a_passage_is_named_by_function_and_lines() -> None:
    chunks = Splitter(HashEmbeddings().token_spans, 20, 0).split_extracted(extract_code(PYTHON.encode()))
    assert all(chunk.position for chunk in chunks)
    for chunk in chunks:
        first = PYTHON[: chunk.start].count("\n") + 1
        last = PYTHON[: chunk.end].count("\n") + 1
        assert str(chunk.position).endswith(f"line {first}" if first == last else f"lines {first}-{last}")
    assert any(str(chunk.position).startswith("class Store > def close") for chunk in chunks)


def test_one_long_line_is_quick() -> None:
    extract_code(b"def " + b"a" * 2_000_000)
    extract_code(b"public static " * 100_000)
    extract_code(b"x(" * 300_000)
