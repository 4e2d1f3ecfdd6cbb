"""One file a format: bytes in, clean text with its pages and headings out.

Everything here runs in the limited child process; it imports no other room and nothing of this one but itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class Refused(Exception):
    """A document that cannot be used, with the stable code and the rest of the sentence about it."""

    def __init__(self, code: str, found: str) -> None:
        self.code = code
        self.found = found
        super().__init__(found)


@dataclass
class Extracted:
    """The text of a document.

    `page_starts` holds the offset of each page (empty where the format has none), `headings` (offset, level, title),
    `warnings` (code, rest of a sentence about the document).
    """

    text: str
    page_starts: list[int] = field(default_factory=list)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
