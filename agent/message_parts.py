"""What a message holds beside its request, found without a model: pasted texts, a language, labels, a length.

Only what is beyond doubt is found; the rest is left to the model or asked of the person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

_FENCE = re.compile(r"```[^\n`]*\n?(.*?)```", re.DOTALL)
_ITEM = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,2}[.)]|\(?[a-zA-Z][.)])\s+(\S.*)$", re.MULTILINE)
_INLINE_ITEM = re.compile(r"(?<=\s)\(?(?:([a-e])\)|([1-9])[.)])\s+(?=\S)", re.IGNORECASE)
_QUOTE = re.compile(
    r"\"([^\"\n]+(?:\n[^\"\n]+)*)\"|“([^”]{1,5000})”|„([^“”]{1,5000})[“”]|«([^»]{1,5000})»|「([^」]{1,5000})」|(?<![\w'])'([^'\n]{2,500}(?:'\w[^'\n]{0,200}){0,8})'(?!\w)"
)
_COLON = re.compile(r":\s+(?=\S)|\s(?:→|=>|>>|--)\s+(?=\S)")
_QUESTION = re.compile(r"\?\s+(?=\S)")
_HEAD_WORDS = 30
_QUOTED_SHARE = 0.5
"""Quotes that cover less than this of a pasted text are part of it."""

_NUMBERS = dict(zip("one two three four five six seven eight nine ten".split(), range(1, 11), strict=True))
_COUNT = rf"(\d{{1,4}}|{'|'.join(_NUMBERS)}|an?)"
_WORDS = re.compile(rf"\b{_COUNT}[\s-]+words?\b", re.IGNORECASE)
_SENTENCES = re.compile(rf"\b{_COUNT}[\s-]+(?:sentences?|lines?|bullets?(?:\s+points?)?)\b", re.IGNORECASE)
_PARAGRAPHS = re.compile(rf"\b{_COUNT}[\s-]+paragraphs?\b", re.IGNORECASE)
_WORDS_A_SENTENCE, _WORDS_A_PARAGRAPH = 20, 80

_LISTED = re.compile(
    r"(?:\b(?:labels|classes|categories|one of|into|as|under|either|between|among)\b:?|[:(])\s*"
    r"([\w'-]+(?: [\w'-]+){0,2}(?:(?:\s*,\s*|/|\s+or\s+|\s+and\s+)[\w'-]+(?: [\w'-]+){0,2})+)",
    re.IGNORECASE,
)
_SLASHED = re.compile(r"(?<![\w/.])[\w-]+(?:/[\w-]+)+(?![\w/.])")
_CHOICE = re.compile(
    r"([\w'-]+(?:\s*,\s*[\w'-]+(?: [\w'-]+){0,2})*\s*,?\s+or\s+[\w'-]+(?: [\w'-]+(?=\s*[?.:,]|$))?)", re.IGNORECASE
)
_BETWEEN = re.compile(r"\s*,\s*(?:or\s+|and\s+)?|/|\s+or\s+|\s+and\s+", re.IGNORECASE)
_SENTIMENT = re.compile(r"\b(?:sentiment|mood|positive|negative)\b", re.IGNORECASE)
_NEUTRAL = re.compile(r"\b(?:neutral|mixed)\b", re.IGNORECASE)
_IS_IT = re.compile(
    r"\bis (?:it|this|that|the following|this \w+)\s+(?:an? )?([\w'-]+)\s*[?:.]?\s*$", re.IGNORECASE | re.MULTILINE
)
_WHICH = re.compile(
    r"\bwhich\b[^?]*?\b(?:is|are|sounds?|look(?:s)? like)\s+(?:an?\s+|the\s+)?([\w'-]+(?: [\w'-]+)?)\s*(?:[?:.]|$)",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Parts:
    """A message taken apart: `head`, the request itself, and the texts that it is about, in order."""

    head: str
    texts: tuple[str, ...] = ()


def parts(message: str) -> Parts:
    """The request and the texts pasted beside it: fenced, listed, quoted, below the first line or after a colon."""
    if fenced := [found.strip() for found in _FENCE.findall(message) if found.strip()]:
        return Parts(_FENCE.sub(" ", message).strip(), tuple(fenced))
    items = list(_ITEM.finditer(message))
    if len(items) > 1 and (head := message[: items[0].start()].strip()):
        return Parts(head.rstrip(":"), tuple(item[1].strip() for item in items))
    if inline := _inline_items(message.strip()):
        return inline
    below = _below_or_after(message)
    quotes = _quotes(below.texts[0] if below else message)
    quoted = sum(map(len, quotes))
    if quotes and (below is None or quoted >= _QUOTED_SHARE * len(below.texts[0])):
        head = _QUOTE.sub(" ", message).strip()
        if len(head.split()) <= _HEAD_WORDS or quoted > len(head):
            return Parts(head, tuple(quotes))
    return below or Parts(message.strip())


def _inline_items(message: str) -> Parts | None:
    """Items that stand in one line, `1. ... 2. ...` or `a) ... b) ...`, marked in order from the first on."""
    found = list(_INLINE_ITEM.finditer(message))
    marks = "".join(item[1] or item[2] for item in found).lower()
    if len(found) < 2 or not ("abcde".startswith(marks) or "123456789".startswith(marks)):
        return None
    ends = [item.start() for item in found[1:]] + [len(message)]
    texts = [message[item.end() : end].strip(" ;,/\n") for item, end in zip(found, ends, strict=True)]
    return Parts(message[: found[0].start()].strip().rstrip(":"), tuple(filter(None, texts)))


def _quotes(text: str) -> list[str]:
    return [found for match in _QUOTE.finditer(text) if (found := next(filter(None, match.groups())).strip())]


def _below_or_after(message: str) -> Parts | None:
    """The text below a short first line, above a short last one, or after the first colon of a short beginning."""
    lines = message.strip().split("\n")
    first, last = lines[0].strip(), lines[-1].strip()
    if len(lines) > 1:
        colon = _COLON.search(first)
        if colon and len(first[: colon.start()].split()) <= _HEAD_WORDS and not first.endswith(":"):
            return _split(message.strip(), colon)
        rest = "\n".join(lines[1:]).strip()
        if len(first.split()) <= _HEAD_WORDS and len(last.split()) >= 3:
            return Parts(first.rstrip(": "), (rest,))
        if len(last.split()) <= _HEAD_WORDS:
            return Parts(last, ("\n".join(lines[:-1]).strip(),))
    for mark in (_COLON, _QUESTION):
        at = mark.search(message)
        if at and len(message[: at.start()].split()) <= _HEAD_WORDS:
            return _split(message.strip(), at)
    return None


def _split(message: str, at: re.Match[str]) -> Parts | None:
    head, text = message[: at.start()].strip(), message[at.end() :].strip()
    return Parts(head, (text,)) if head and text else None


@cache
def _language_names() -> dict[str, str]:
    from models.tasks.language_codes import NAMES

    return {name.lower(): name for name in NAMES.values()} | {"mandarin": "Chinese", "farsi": "Persian"}


@cache
def _languages() -> str:
    return "|".join(sorted((re.escape(name) for name in _language_names()), key=len, reverse=True))


def target_language(head: str) -> str | None:
    """The English name of the language that is asked for: after `into`, `in` or `to`, or the only one named."""
    names = _language_names()
    if found := re.findall(rf"\b(?:in|into|to|auf)\s+(?:the\s+)?({_languages()})\b", head, re.IGNORECASE):
        return names[found[-1].lower()]
    own = {name.lower() for name in re.findall(rf"\bfrom\s+(?:the\s+)?({_languages()})\b", head, re.IGNORECASE)}
    named = dict.fromkeys(name.lower() for name in re.findall(rf"\b({_languages()})\b", head, re.IGNORECASE))
    wanted = [name for name in named if name not in own]
    return names[wanted[0]] if len(wanted) == 1 else None


def said_language(head: str) -> str | None:
    """The language that a result is to be in: the one after `in` or `into`, and no other."""
    found = re.findall(rf"\b(?:in|into)\s+({_languages()})\b", head, re.IGNORECASE)
    return _language_names()[found[-1].lower()] if found else None


def source_language(head: str) -> str | None:
    """The English name of the language after `from`."""
    found = re.search(rf"\bfrom\s+(?:the\s+)?({_languages()})\b", head, re.IGNORECASE)
    return _language_names()[found[1].lower()] if found else None


def language_names() -> list[str]:
    """Every language by its English name."""
    return sorted(set(_language_names().values()))


def spoken_part(head: str) -> str | None:
    """The words between `translate` or `say` and the language: `translate good morning into French`."""
    found = re.search(
        rf"\b(?:translate|say|render|write)\s+(\S.*?)\s+(?:in|into|to)\s+(?:{_languages()})\b", head, re.IGNORECASE
    )
    return found[1].strip(" ,") if found else None


def wanted_words(head: str) -> int | None:
    """About how many words a result is to have, 5 to 1000, from its words, sentences or paragraphs."""
    for pattern, words in ((_WORDS, 1), (_SENTENCES, _WORDS_A_SENTENCE), (_PARAGRAPHS, _WORDS_A_PARAGRAPH)):
        if found := pattern.search(head):
            count = _NUMBERS.get(found[1].lower()) or (int(found[1]) if found[1].isdigit() else 1)
            return max(5, min(1000, count * words))
    return None


def labels(head: str) -> list[str]:
    """The labels to choose among: a list after `as` or `into`, words joined by `or` or slashes, or a known pair."""
    if wanted := asked_label(head):
        return both_sides(wanted)
    for pattern in (_LISTED, _SLASHED, _CHOICE):
        if found := pattern.search(head):
            listed = _items(found[1] if pattern.groups else found[0])
            if len(listed) > 1:
                return listed
    if _SENTIMENT.search(head):
        return ["positive", "negative", *(["neutral"] if _NEUTRAL.search(head) else [])]
    return []


def _items(listed: str) -> list[str]:
    items = [item.strip(" '?.:") for item in _BETWEEN.split(listed) if item.strip(" '?.:")]
    if items and items[-1].lower() == "not":
        items[-1] = f"not {items[0]}"
    return list(dict.fromkeys(items))


def asked_label(head: str) -> str | None:
    """The one label of a question such as `which of these reviews are negative?` or `is this spam?`."""
    found = _WHICH.search(head) or _IS_IT.search(head)
    return found[1].lower() if found and " or " not in found[0] and "," not in found[0] else None


def both_sides(label: str) -> list[str]:
    """A label and what it is chosen against."""
    if label in ("positive", "negative"):
        return ["positive", "negative"]
    return [label, label.removeprefix("not ") if label.startswith("not ") else f"not {label}"]
