"""Nested tables as the text of a TOML file, which the standard library reads and does not write."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def to_toml(table: Mapping[str, Any]) -> str:
    """The text; a table's own values stand before the tables in it, and values of None are left out.

    Values may be texts, numbers, truth values, lists and tables of these.
    """
    return "\n".join(_lines(table, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], place: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and value is not None}
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    if place and (lines or not inner):
        lines = ["", f"[{'.'.join(map(_key, place))}]", *lines]
    for key, value in inner.items():
        lines += _lines(value, (*place, key))
    return lines


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(one)}' for key, one in value.items())} }}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, -inf and nan are words of TOML
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
