"""A source in words: where it is, its quote, and the text around it with the quote marked.

Pure functions from an answer's source to Markdown that shows a document's text as it is.
"""

from __future__ import annotations

from agent.events import Source
from chat.inert import plain
from chat.log import escaped

_LONGEST_NAME = 48
_CONTEXT_CHARACTERS = 700


def place(source: Source) -> str:
    """Where a source is, for a person: `report.pdf, page 3`."""
    name = escaped(source.document)
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 3 :]}"
    if source.page is not None:
        return f"{name}, page {source.page}"
    return f"{name}, {escaped(source.position)}" if source.position else name


def quoted(quote: str) -> str:
    """A quote as Markdown that shows it as it is."""
    return "\n".join(f"> {plain(line)}" for line in quote.splitlines() if line.strip())


def passage(source: Source, text: str | None) -> str:
    """Markdown with the passage in its surroundings, the quote in bold; only the quote where the text is gone."""
    if text is None or not 0 <= source.start < source.end <= len(text):
        return quoted(source.quote)
    start, end = source.start, source.end
    at = text.find(source.quote, start, end) if source.quote else -1
    if at >= 0:
        start, end = at, at + len(source.quote)
    before = text[max(0, source.start - _CONTEXT_CHARACTERS) : start]
    after = text[end : source.end + _CONTEXT_CHARACTERS]
    opening = "…" if source.start > _CONTEXT_CHARACTERS else ""
    closing = "…" if source.end + _CONTEXT_CHARACTERS < len(text) else ""
    return opening + _lines(before) + _lines(text[start:end], bold=True) + _lines(after) + closing


def _lines(text: str, bold: bool = False) -> str:
    """Text line by line, so that neither a mark of the text nor the bold one reaches over a line's end."""
    shown = []
    for line in text.split("\n"):
        words = line.strip()
        if not words:
            shown.append(line)
            continue
        lead, trail = line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :]
        marked = f"**{plain(words)}**" if bold else plain(words)
        shown.append(f"{' ' if lead else ''}{marked}{' ' if trail else ''}")
    return "\n".join(shown)
