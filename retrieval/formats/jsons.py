"""JSON and JSON Lines: every record a line of "name: value", nested names joined by dots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.text import clean, decode

_MAX_DEPTH = 200
_LONG = 200
_ABSENT = "null"


class _Pairs(list[tuple[str, Any]]):
    """An object as it is written: a name that stands twice keeps both values."""


def extract_json(data: bytes) -> Extracted:
    """A JSON file; positions are the records of its outermost list, or its outermost names.

    Raises:
        Refused: corrupt.
    """
    composer, text = _begun(data)
    try:
        value = _parsed(text)
    except Refused:
        return extract_jsonl(data)  # many programs write one value a line under this name
    records = value if isinstance(value, list) and not isinstance(value, _Pairs) else None
    if records is not None:
        for number, record in enumerate(records, start=1):
            _write(composer, record, number)
        return composer.extracted("record")
    for name, inner in value if isinstance(value, _Pairs) else [("", value)]:
        if isinstance(inner, list) and name:
            composer.heading(name, 1)
        _write_named(composer, name, inner)
    return composer.extracted()


def extract_jsonl(data: bytes) -> Extracted:
    """A file with a JSON value on every line; positions are its lines.

    Raises:
        Refused: corrupt, where most lines are none.
    """
    composer, text = _begun(data)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    broken = 0
    if len(lines) < 2:
        raise Refused("corrupt", "is no sound JSON, or is nested without end.")
    for number, line in lines:
        try:
            _write(composer, _parsed(line), number)
        except Refused:
            broken += 1
            composer.line(line, number)
    if broken * 2 > len(lines):
        raise Refused("corrupt", f"is no sound JSON Lines: {broken} of its {len(lines)} lines could not be read.")
    if broken:
        composer.warnings.append(("partial", f"has {broken} lines that are no sound JSON; they were kept as text."))
    return composer.extracted("record")


def _begun(data: bytes) -> tuple[Composer, str]:
    decoded = decode(data)
    composer = Composer()
    composer.warnings += decoded.warnings
    composer.facts["encoding"] = decoded.encoding
    return composer, clean(decoded.text)


def _parsed(text: str) -> Any:
    """The value, its numbers as they are written: 1e999 and figures without end stay what they are."""
    try:
        return json.loads(text, object_pairs_hook=_Pairs, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise Refused("corrupt", "is no sound JSON, or is nested without end.") from error


def _write(composer: Composer, value: Any, number: int) -> None:
    """One record: on one line if it is short, with its long texts below it."""
    parts: list[str] = []
    long: list[str] = []
    for name, text in _leaves(value, "", 0):
        labelled = f"{name}: {text}" if name else text
        (long if len(text) > _LONG or "\n" in text else parts).append(labelled)
    composer.line(" | ".join(parts), number)
    for text in long:
        composer.line(text, None if parts else number)


def _write_named(composer: Composer, name: str, value: Any) -> None:
    if isinstance(value, list) and not isinstance(value, _Pairs):
        for number, inner in enumerate(value, start=1):
            _write(composer, inner, number)
        return
    for path, text in _leaves(value, name, 0):
        composer.line(f"{path}: {text}" if path else text)


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """(dotted name, text) of every value that holds anything."""
    if depth > _MAX_DEPTH:
        raise Refused("corrupt", "is JSON that is nested deeper than any document.")
    if isinstance(value, _Pairs):
        for name, inner in value:
            yield from _leaves(inner, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(value, list):
        if all(not isinstance(inner, list) for inner in value):
            text = ", ".join(_scalar(inner) for inner in value if inner is not None)
            if text:
                yield path, text
            return
        for inner in value:
            yield from _leaves(inner, path, depth + 1)
    elif value is not None and (text := _scalar(value)).strip():
        yield path, text


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else _ABSENT
