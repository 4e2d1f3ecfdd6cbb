"""Puts a document's text together piece by piece, and notes where its headings, parts and rows begin.

Every piece is cleaned before it is counted, so that the offsets are those of the text that is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from retrieval.formats import Extracted
from retrieval.formats.text import clean

MAX_CHARACTERS = 60_000_000
_MAX_TITLE = 200
_UNNAMED_SHEET = re.compile(
    r"(?:sheet|tabelle|feuil|feuille|hoja|foglio|planilha|blad|ark|лист|シート|工作表) ?\d*", re.IGNORECASE
)


class Composer:
    """The text so far. Blocks stand apart by a blank line, lines by a line end."""

    def __init__(self) -> None:
        self.warnings: list[tuple[str, str]] = []
        self.facts: dict[str, str] = {}
        self._pieces: list[str] = []
        self._at = 0
        self._headings: list[tuple[int, int, str]] = []
        self._part_starts: list[int] = []
        self._numbered: list[tuple[int, int]] = []
        self._in_lines = False
        self._part_title = ""
        self._full = False

    @property
    def empty(self) -> bool:
        """Whether nothing was written yet."""
        return not self._at

    def part(self, title: str = "") -> None:
        """Begin a slide, sheet or message: what follows never shares a passage with what came before."""
        self._in_lines = False
        self._part_title = f"\n{title}"

    def sheet(self, name: str, hidden: bool = False) -> None:
        """Begin a sheet; a name that a person gave stands in the text too, so that it can be found."""
        self.part(f"{name} (hidden)" if hidden else name)
        if not _UNNAMED_SHEET.fullmatch(name.strip()):
            self.block(name)

    def heading(self, text: str, level: int) -> None:
        """A heading of level 1 and on, as a block of its own."""
        at = self._write(text, "\n\n")
        if at is not None:
            self._headings.append((at, level, _short(text)))
        self._in_lines = False

    def block(self, text: str) -> None:
        """A paragraph."""
        self._write(text, "\n\n")
        self._in_lines = False

    def numbered_block(self, text: str, number: int) -> None:
        """A paragraph that has a number, such as a notebook's cell."""
        at = self._write(text, "\n\n")
        if at is not None:
            self._numbered.append((at, number))
        self._in_lines = False

    def line(self, text: str, number: int | None = None) -> None:
        """A row or line below the one before; its number, where it has one, becomes part of a passage's position."""
        at = self._write(text, "\n" if self._in_lines else "\n\n")
        if at is not None and number is not None:
            self._numbered.append((at, number))
        self._in_lines = True

    def lines(self, rows: Iterable[tuple[int, str]], numbered: bool = False) -> None:
        """Rows one after another, apart from what stands around them."""
        self._in_lines = False
        for number, text in rows:
            self.line(text, number if numbered else None)
        self._in_lines = False

    def _write(self, text: str, gap: str) -> int | None:
        """Add a piece; where it begins, or None for one without any words."""
        text = clean(text).strip()
        if not text or self._full:
            return None
        if self._at + len(text) > MAX_CHARACTERS:
            self._full = True
            self.warnings.append(("partial", f"holds too much text; only the first {self._at} characters were kept."))
            return None
        if self._pieces:
            self._pieces.append(gap)
            self._at += len(gap)
        at = self._at
        if self._part_title:
            title, self._part_title = self._part_title[1:], ""
            self._part_starts.append(at)
            if title:
                self._headings.append((at, 1, _short(title)))
        self._pieces.append(text)
        self._at += len(text)
        return at

    def extracted(self, numbered_as: str = "") -> Extracted:
        """The whole document."""
        starts = [0, *(start for start in self._part_starts if start)] if self._part_starts else []
        return Extracted(
            "".join(self._pieces),
            headings=self._headings,
            warnings=self.warnings,
            part_starts=starts,
            numbered=self._numbered,
            numbered_as=numbered_as if self._numbered else "",
            facts={name: value for name, value in self.facts.items() if value},
        )


def _short(title: str) -> str:
    return " ".join(clean(title).split())[:_MAX_TITLE]
