"""Sentences of a text as exact spans; nothing between two sentences but white space."""

from __future__ import annotations

import re

_BREAK = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[¿¡]*[^\W_a-z])|(?<=[。！？।॥۔؟])\s*|\n\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|al|Fig|No|Nr|Inc|Ltd|Co|Corp|Gen|Sen|Rep|approx|ca|bzw|z\.B)"
    r"|(?:^|[\s(])[A-Z])\.$"
)


_WRAPPED_CHARACTERS = 45


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, end exclusive, in order.

    A line break ends a sentence, too, except inside a paragraph that was wrapped at the page's width.
    """
    spans, start = [], 0
    for match in _BREAK.finditer(text):
        quotes = match.group().rstrip()
        if _wrapped(text, match):
            continue
        if not quotes and "\n" not in match.group() and _ABBREVIATION.search(text[start : match.start()]):
            continue
        spans.append((start, match.start() + len(quotes)))
        start = match.end()
    spans.append((start, len(text)))
    return [found for span in spans if (found := _trimmed(text, *span))[1] > found[0]]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order."""
    return [text[start:end] for start, end in sentence_spans(text)]


def _wrapped(text: str, match: re.Match[str]) -> bool:
    """Whether a break is a single line end in running text: a long line that stops in the middle of a sentence."""
    if match.group().count("\n") != 1 or match.group().rstrip():
        return False
    line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
    after = text[match.end() : match.end() + 1]
    return len(line) >= _WRAPPED_CHARACTERS and (line[-1].isalnum() or line[-1] in ",;-–") and after.isalnum()


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
