"""The two forms that every task verb has, one text or a file of rows, and how results read for a person."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.tasks.errors import EmptyText

Row = dict[str, Any]


def add_batch_arguments(verb: argparse.ArgumentParser) -> None:
    """`--input` and `--output`, the batch form of every task verb."""
    verb.add_argument("--input", type=Path, metavar="F.jsonl", help="rows with a field `text` instead of TEXT")
    verb.add_argument("--output", type=Path, metavar="G.jsonl", help="where the rows with their results go")


def run_verb(
    options: argparse.Namespace,
    one: Callable[[str], Any],
    many: Callable[[Sequence[Row]], Sequence[Mapping[str, Any]]],
    *,
    required: Sequence[str] = ("text",),
    check: Callable[[Row], str | None] | None = None,
    rows_at_once: int = 1024,
) -> Any:
    """One text's result, or the batch form where `--input` is given; neither or both is wrong usage."""
    if options.input or options.output:
        if not (options.input and options.output):
            options.parser.error("--input and --output belong together")
        if options.text is not None:
            options.parser.error("give a TEXT or --input, not both")
        from models.tasks.batch import run_batch

        return run_batch(options.input, options.output, many, required=required, check=check, rows_at_once=rows_at_once)
    if options.text is None:
        options.parser.error("a TEXT is missing (or --input F.jsonl --output G.jsonl)")
    return one(read_text(options.text))


def read_text(argument: str) -> str:
    """The argument, or standard input where it is `-`.

    Raises:
        EmptyText: there is nothing but white space.
    """
    text = sys.stdin.read() if argument == "-" else argument
    if not text.strip():
        raise EmptyText()
    return text


def render(value: Any) -> str:
    """A result as a person reads it: aligned columns for scores, `name  value` lines for facts."""
    if isinstance(value, list):
        return "\n".join(_line(item) for item in value)
    if isinstance(value, dict):
        main = next((name for name in ("translation", "answer", "summary") if name in value), None)
        lines = [f"{name:16} {_short(item)}" for name, item in value.items() if name not in (main, "advice")]
        advice = [str(value["advice"])] if "advice" in value else []
        return "\n".join([*([str(value[main]) or "(no answer)", ""] if main else []), *lines, *advice])
    return str(value)


def _line(item: Any) -> str:
    if isinstance(item, dict) and item.get("score") is not None:
        rest = "  ".join(_flat(value) for name, value in item.items() if name != "score")
        return f"{item['score']:6.3f}  {rest}"
    return (
        "  ".join(_flat(value) for value in item.values() if value is not None)
        if isinstance(item, dict)
        else _short(item)
    )


def _flat(value: Any) -> str:
    """A value inside a line: a box or a point as its sides with their names."""
    if isinstance(value, dict):
        return " ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    return str(value)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def positive(text: str) -> int:
    """An argument that must be a whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value
