"""One file a format: bytes in, clean text with its pages, headings and rows out.

Everything here runs in the limited child process; it imports no other room and nothing of this one but itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_PARTS = ("slides", "sheets", "messages", "attachments")


class Refused(Exception):
    """A document that cannot be used, with the stable code and the rest of the sentence about it."""

    def __init__(self, code: str, found: str) -> None:
        self.code = code
        self.found = found
        super().__init__(found)


@dataclass
class Extracted:
    """The text of a document.

    `page_starts` holds the offset of each page (empty where the format has none), `part_starts` that of each slide,
    sheet or message, which no passage may cross either; `headings` (offset, level, title); `numbered` (offset, number)
    of each row, cell or record, in the word `numbered_as`, and for "line" nothing, as lines can be counted in the text;
    `warnings` (code, rest of a sentence about the document); `facts` what else is known: its kind, encoding, title ...
    `scanned` names the 1-based pages that are pictures without text; `attachments` the files that a message carries,
    in the order in which `parse_attachment` counts them.
    """

    text: str
    page_starts: list[int] = field(default_factory=list)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    part_starts: list[int] = field(default_factory=list)
    numbered: list[tuple[int, int]] = field(default_factory=list)
    numbered_as: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    scanned: list[int] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """The facts to keep with the document: what it is, what its positions name, and its warnings as sentences."""
        parts = [name.removesuffix("s") for name in _PARTS if name in self.facts]
        positions = [*(["page"] if self.page_starts else []), *parts]
        positions += [word for word in (self.numbered_as,) if word]
        positions += ["heading"] if self.headings and not parts else []
        return {**self.facts, "positions": positions, "warnings": [f"It {found}" for _, found in self.warnings]}
