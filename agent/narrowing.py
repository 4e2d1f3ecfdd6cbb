"""A tool's schema narrowed to what a message says: the choices that it names, the numbers and lists that it holds.

A small model copies badly and fills in what nobody asked for. So where the message names some of a schema's choices,
those are left; a number is one of the message's; a yes or no whose name is said is yes; and what may be left out and
is not said is left out. What plain code cannot tell stays the model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
).split()
_NUMBER_WORDS = {word: number for number, word in enumerate(_WORDS)} | {"once": 1, "twice": 2, "dozen": 12}
_TIMES = {
    "hundred": 100,
    "thousand": 1000,
    "million": 10**6,
    "billion": 10**9,
    "k": 1000,
    "K": 1000,
    "M": 10**6,
    "B": 10**9,
}
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-−])?(?P<money>[$€£¥])?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+(?:[eE]-?\d+\b)?)"
    r"(?:\s?(?P<percent>%|percent\b)|\s(?P<times>hundred|thousand|million|billion)\b|(?(money)(?P<short>[KkMB])\b|(?!)))?"
)
_NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(_NUMBER_WORDS)})\b", re.IGNORECASE)
_ONE = r"[-−]?\d+(?:\.\d+)?(?:st|nd|rd|th)?\b"
_LIST = re.compile(rf"\[([^\[\]]*)\]|(?<![\w.,-])({_ONE}(?:(?:,\s+(?:and\s+)?|\s+and\s+){_ONE}){{2,}})")
"""A list in brackets, or three numbers or more in a row."""
_IN_PERCENT = re.compile(r"%|\bper ?cent", re.IGNORECASE)
_AS_FRACTION = re.compile(r"\bdecimal\b|\bfraction\b|\b0\.\d", re.IGNORECASE)
_NUMERIC = ("integer", "number")
_QUOTED = re.compile(r"(?<!\w)[\"'‘`“]([^\"'‘’`“”]{2,40})[\"'’`”](?!\w)")
"""Values that a description gives as examples."""
_NAME_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_SAY_NOTHING = set("inclu is use has retur get calcu show allow with of the in enabl".split())
"""Beginnings, as `_stem` cuts them, of words in a member's name that ask for nothing of their own."""
_NO = re.compile(r"n't\b|\b(?:not?|never|without|except)\b", re.IGNORECASE)


def narrowed(parameters: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The parameters of a tool, a JSON schema of an object, with what the message says for choices.

    A member that may be left out is dropped where it is a choice and the message names none, or a number and those
    that must be given take all of the message's. It is wanted where the message names its value (of a yes or no, its
    name), or has as many numbers left as such members. What the message says nothing of stays as it is.
    """
    members: dict[str, Any] = parameters.get("properties") or {}
    required = set(parameters.get("required") or ())
    counted = {name for name, schema in members.items() if _is(schema, *_NUMERIC)}
    has_lists = any(_is(schema, "array") for schema in members.values())
    left = len(numbers(_LIST.sub(" ", message) if has_lists else message)) - len(counted & required)
    kept: dict[str, Any] = {}
    wanted = set(required)
    for name, schema in members.items():
        said = _said(name, schema, message) if isinstance(schema, dict) else None
        optional = name not in required
        if optional and (said == {} or (name in counted and left <= 0)):
            continue
        kept[name] = said or schema
        if said and (name not in counted or left == len(counted - required)) and not _is(schema, "array", of=_NUMERIC):
            wanted.add(name)
    return {**parameters, "properties": kept, "required": [name for name in kept if name in wanted]}


def without_unsaid(arguments: Mapping[str, Any], parameters: Mapping[str, Any], message: str) -> dict[str, Any]:
    """The arguments without those texts that may be left out and of which no word stands in the message."""
    wanted, known = set(parameters.get("required") or ()), set(_plain(message).split())
    members = parameters.get("properties") or {}
    return {
        name: value
        for name, value in arguments.items()
        if name in wanted
        or not isinstance(value, str)
        or _choices(members.get(name))
        or known & set(_plain(value).split())
    }


def numbers(message: str) -> list[tuple[float, bool]]:
    """The numbers of a message in order, as digits or as words up to twenty, and which of them are percentages."""
    found = [(match.start(), *_value(match)) for match in _NUMBER.finditer(message)]
    found += [
        (match.start(), float(_NUMBER_WORDS[match[0].lower()]), False) for match in _NUMBER_WORD.finditer(message)
    ]
    return [(value, percent) for _, value, percent in sorted(found)]


def _value(match: re.Match[str]) -> tuple[float, bool]:
    value = float(match["digits"].replace(",", "")) * _TIMES.get(match["times"] or match["short"], 1)
    return (-value if match["sign"] else value), bool(match["percent"])


def _said(name: str, schema: Mapping[str, Any], message: str) -> dict[str, Any] | None:
    """The schema with what the message says of it; {} where it says nothing, None where that cannot be told."""
    if _is(schema, "boolean"):
        return {**schema, "enum": [True]} if _is_called(name, message) else None
    if choices := _choices(schema):
        named = [choice for choice in choices if _stands(choice, message)]
        return {**schema, "enum": named} if named else {}
    if _is(schema, "string"):
        quoted = [one for one in _QUOTED.findall(str(schema.get("description"))) if _stands(one, message)]
        return {**schema, "enum": list(dict.fromkeys(quoted))} if quoted else None
    if _is(schema, *_NUMERIC) and "enum" not in schema:
        found = _numbers_for(schema, message)
        return {**schema, "enum": found} if found else {}
    if _is(schema, "array") and isinstance(items := schema.get("items"), dict):
        return _said_of_list(schema, items, message)
    return None


def _said_of_list(schema: Mapping[str, Any], items: Mapping[str, Any], message: str) -> dict[str, Any] | None:
    if choices := _choices(items):
        named = [choice for choice in choices if _stands(choice, message)]
        size = {"minItems": len(named), "maxItems": len(named)}
        return {**schema, "items": {**items, "enum": named}, **size} if named and _fits(named, schema) else None
    if not _is(items, *_NUMERIC):
        return None
    if lists := [one for one in _lists(items, message) if one and _fits(one, schema)]:
        return {**schema, "enum": lists}
    found = _numbers_for(items, message)
    return {**schema, "items": {**items, "enum": found}} if found else {}


def _is(schema: Any, *types: str, of: Sequence[str] = ()) -> bool:
    """Whether it is a schema of one of these types, a list `of` items of these."""
    right = isinstance(schema, dict) and schema.get("type") in types
    return right and (not of or _is(schema.get("items"), *of))


def _is_called(name: str, message: str) -> bool:
    """Whether the words of a member's name that say something are in the message, and nothing there says no."""
    said = [_stem(word) for word in _NAME_WORDS.findall(name.replace("_", " "))]
    telling = [word for word in said if word not in _SAY_NOTHING]
    known = {_stem(word) for word in _NAME_WORDS.findall(message)}
    return bool(telling) and known.issuperset(telling) and not _NO.search(message)


def _stem(word: str) -> str:
    return word.casefold()[:5]


def _choices(schema: Any) -> Sequence[str]:
    choices = (schema.get("enum") if isinstance(schema, dict) else None) or ()
    return choices if all(isinstance(choice, str) for choice in choices) else ()


def _stands(choice: str, message: str) -> bool:
    """Whether the message names it; a single letter only as it is written."""
    if len(choice) == 1:
        return bool(re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", message))
    return bool(plain := _plain(choice)) and f" {plain} " in f" {_plain(message)} "


def _plain(text: str) -> str:
    """Lower-case words without marks, singular where a plural ends in s."""
    return " ".join(word.removesuffix("s") if len(word) > 3 else word for word in re.findall(r"\w+", text.casefold()))


def _numbers_for(schema: Mapping[str, Any], message: str) -> list[float | int]:
    """The message's numbers that a member of this schema may be, percentages as fractions where it may be one."""
    return [value for value in dict.fromkeys(_typed(numbers(message), schema)) if _fits(value, schema)]


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the schema's bounds let it be, so that something is left to write."""
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(dict(schema)).is_valid(value))


def _lists(items: Mapping[str, Any], message: str) -> Iterator[list[float | int]]:
    for match in _LIST.finditer(message):
        yield list(_typed(numbers((match[1] or match[2] or "").replace(",", ", ")), items))


def _typed(found: Sequence[tuple[float, bool]], schema: Mapping[str, Any]) -> Iterator[float | int]:
    described = str(schema.get("description"))
    in_percent = _IN_PERCENT.search(described) and not _AS_FRACTION.search(described)
    fraction = schema.get("type") == "number" and not in_percent
    for value, percent in found:
        scaled = round(value / 100, 10) if percent and fraction else value
        if scaled.is_integer():
            yield int(scaled)
        elif schema.get("type") == "number":
            yield scaled
