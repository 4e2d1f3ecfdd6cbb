"""Sentences of a text as exact spans; nothing between two sentences but white space."""

from __future__ import annotations

import re

_BREAK = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[¿¡]*[^\W_a-z])|(?<=[。！？।॥۔؟])\s*|\n\s*")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|al|Fig|No|Nr|Inc|Ltd|Co|Corp|Gen|Sen|Rep|approx|ca|bzw|z\.B)"
    r"|(?:^|[\s(])[A-Z])\.$"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, end exclusive, in order; line breaks end a sentence, too."""
    spans, start = [], 0
    for match in _BREAK.finditer(text):
        quotes = match.group().rstrip()
        if not quotes and "\n" not in match.group() and _ABBREVIATION.search(text[start : match.start()]):
            continue
        spans.append((start, match.start() + len(quotes)))
        start = match.end()
    spans.append((start, len(text)))
    return [found for span in spans if (found := _trimmed(text, *span))[1] > found[0]]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order."""
    return [text[start:end] for start, end in sentence_spans(text)]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
