"""Text into chunks with exact offsets, sized in the embedder's own tokens.

A chunk ends at the strongest boundary near its limit (heading, paragraph, line, sentence, word) and never crosses a
page, slide or sheet; where it had to end inside a paragraph, the next one begins a little earlier.
"""

from __future__ import annotations

import itertools
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.formats import Extracted

Spans = Sequence[tuple[int, int]] | NDArray[np.int64]
Heading = tuple[int, int, str]
"""(offset, level from 1, title)"""

_CHARACTERS_PER_TOKEN = 12
"""A chunk of text without tokens (marks, spaces, one endless word) still ends after this many characters a token."""
_LONG_TOKEN, _LONG_STEP = 24, 4
_POSITION_LENGTH = 200

_WORD, _SENTENCE, _LINE, _PARAGRAPH, _HEADING = range(5)
_BREAKS = re.compile(
    r"""(?P<paragraph>\n[^\S\n]*\n\s*)                      # a blank line
      | (?P<line>(?<=[.!?:;"'”’)\]。！？।])[^\S\n]*\n\s*)     # a line that ends like a sentence
      | (?P<item>\n\s*)(?=[-*•‣◦]\s|\d{1,3}[.)]\s|\|)       # a list item or table row begins
      | (?P<sentence>[.!?…][)\]"'”’»]*[^\S\n]++(?!\n)|[。！？।][^\S\n]*+(?!\n))""",
    re.VERBOSE,
)
_LEVELS = {"paragraph": _PARAGRAPH, "line": _LINE, "item": _LINE, "sentence": _SENTENCE}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document's text: `text == document_text[start:end]`; page is 1-based."""

    start: int
    end: int
    text: str
    page: int | None = None
    position: str | None = None


@dataclass(frozen=True)
class Numbers:
    """The numbers of rows, cells or records with the offsets where they begin; with none, lines are counted."""

    word: str
    offsets: Sequence[int]
    values: Sequence[int]
    lines: Sequence[int] = ()

    @classmethod
    def of(cls, text: str, numbered: Sequence[tuple[int, int]], word: str) -> Numbers | None:
        """What a document is counted in; None where it is in nothing."""
        if numbered:
            return cls(word, [offset for offset, _ in numbered], [number for _, number in numbered])
        if word == "line":
            return cls(word, [], [], [match.start() for match in re.finditer("\n", text)])
        return None

    def between(self, first: int, start: int, end: int) -> str:
        """ "row 7" or "rows 7-12": what a piece of the part that begins at `first` holds; "" for none."""
        if self.offsets:
            at = max(bisect_left(self.offsets, first), bisect_right(self.offsets, start) - 1)
            last = bisect_left(self.offsets, end) - 1
            if last < at:
                return ""
            first_number, last_number = self.values[at], self.values[last]
        else:
            first_number = bisect_left(self.lines, start) + 1
            last_number = bisect_left(self.lines, end) + 1
        if first_number == last_number:
            return f"{self.word} {first_number}"
        return f"{self.word}s {first_number}-{last_number}"


class _Places:
    """Where a piece of the text stands, in words: the headings above it, and its rows or lines."""

    def __init__(self, headings: Sequence[Heading], numbers: Numbers | None) -> None:
        self._titles = _heading_paths(headings)
        self._offsets = [offset for offset, _, _ in headings]
        self._numbers = numbers

    def of(self, first: int, start: int, end: int) -> str | None:
        """The position of the characters from `start` to before `end`, in the part that begins at `first`, if any."""
        at = max(0, bisect_right(self._offsets, start) - 1)  # before the first heading, the first one within
        title = self._titles[at] if at < len(self._offsets) and self._offsets[at] < end else ""
        rows = self._numbers.between(first, start, end) if self._numbers else ""
        return ", ".join(filter(None, (title, rows))) or None


@dataclass(frozen=True)
class Splitter:
    """Cuts texts into chunks of at most `chunk_tokens`, `overlap_tokens` of them repeated inside a cut paragraph.

    Args:
        token_spans: the embedder's tokens as character offsets; called once for a text, and again only for pieces
            that were cut inside a word.
        most_chunks: what a text would be cut into beyond these is left out.
    """

    token_spans: Callable[[str], Spans]
    chunk_tokens: int = 200
    overlap_tokens: int = 30
    most_chunks: int | None = None

    def split(
        self,
        text: str,
        page_starts: Sequence[int] = (),
        headings: Sequence[Heading] = (),
        part_starts: Sequence[int] = (),
        numbers: Numbers | None = None,
    ) -> list[Chunk]:
        """The chunks of a text in order; together they hold every character that is not white space, or `most_chunks`.

        Args:
            page_starts: offset at which each page begins, the first one first; empty where there are no pages.
            headings: in order of their offsets.
            part_starts: offsets that no chunk crosses either, such as those of slides; not together with pages.
            numbers: the rows or lines that a chunk's position names.
        """
        rows = numbers.offsets if numbers else []
        cutter = _Cutter(text, self.token_spans(text), headings, rows, self.chunk_tokens, self.overlap_tokens)
        bounds = [*(page_starts or part_starts or [0]), len(text)]
        places = _Places(headings, numbers)
        chunks: list[Chunk] = []
        for number, (first, last) in enumerate(itertools.pairwise(bounds), start=1):
            for start, end, whole in cutter.cut(first, last):
                page = number if page_starts else None
                pieces = [(start, end)] if whole else self._recut(text, start, end)
                chunks += [Chunk(a, b, text[a:b], page, places.of(first, a, b)) for a, b in pieces]
            if self.most_chunks is not None and len(chunks) >= self.most_chunks:
                return chunks[: self.most_chunks]
        return chunks

    def split_extracted(self, extracted: Extracted) -> list[Chunk]:
        """The chunks of a parsed document."""
        numbers = Numbers.of(extracted.text, extracted.numbered, extracted.numbered_as)
        return self.split(extracted.text, extracted.page_starts, extracted.headings, extracted.part_starts, numbers)

    def left_out(self, chunks: Sequence[Chunk], extracted: Extracted) -> str:
        """The rest of a sentence about what `most_chunks` left out of a document; "" for nothing."""
        if self.most_chunks is None or len(chunks) < self.most_chunks:
            return ""
        end = chunks[-1].end
        if not extracted.text[end:].strip():
            return ""
        pages = extracted.page_starts
        where = f"page {chunks[-1].page} of {len(pages)}" if pages else f"{end / len(extracted.text):.0%} of its text"
        return f"is very long: what follows its first {len(chunks)} passages ({where}) is not searched; split it."

    def _recut(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        """Halve a piece that was cut inside a word until its tokens fit: half a word can have more than the whole."""
        if end - start <= 1 or len(self.token_spans(text[start:end])) <= self.chunk_tokens:
            return [(start, end)]
        middle = (start + end) // 2
        halves = (_stripped(text, start, middle), _stripped(text, middle, end))
        return [piece for a, b in halves if a < b for piece in self._recut(text, a, b)]


class _Cutter:
    """One text with its tokens and possible breaks, cut region by region."""

    def __init__(
        self, text: str, spans: Spans, headings: Sequence[Heading], rows: Sequence[int], limit: int, overlap: int
    ) -> None:
        self._text = text
        self._limit, self._overlap = limit, min(overlap, limit // 4)
        self._starts, self._inside = _token_starts(spans)
        breaks = {m.end(): _LEVELS[str(m.lastgroup)] for m in _BREAKS.finditer(text)}
        breaks.update({offset: max(_LINE, breaks.get(offset, _LINE)) for offset in rows})
        breaks.update({offset: _HEADING for offset, _, _ in headings})
        self._breaks = sorted(breaks)
        self._levels = [breaks[offset] for offset in self._breaks]

    def cut(self, first: int, last: int) -> list[tuple[int, int, bool]]:
        """(start, end, is made of whole ordinary tokens) of each chunk between two offsets."""
        found = []
        begin, last = _stripped(self._text, first, last)
        while begin < last:
            end, level, whole = self._end_of(begin, last)
            a, b = _stripped(self._text, begin, end)
            if a < b:
                found.append((a, b, whole and not self._holds_long_word(a, b)))
            following = end if level >= _LINE or end >= last else self._back_from(begin, end)
            begin, _ = _stripped(self._text, following, last)
        return found

    def _end_of(self, begin: int, last: int) -> tuple[int, int, bool]:
        """Where the chunk that begins here ends, how strong that boundary is, and whether it is one of whole tokens."""
        token = bisect_left(self._starts, begin)
        after = token + self._limit
        reach = self._starts[after] if after < len(self._starts) else last
        most = begin + self._limit * _CHARACTERS_PER_TOKEN
        if last <= min(reach, most):
            return last, _HEADING, True
        if reach > most:
            return most, _WORD, False
        best = self._best_break(token, reach)
        if best is not None:
            return *best, True
        for start in reversed(self._starts[token + self._limit // 2 : after + 1]):
            if self._text[start - 1].isspace():
                return start, _WORD, True
        return reach, _WORD, False

    def _best_break(self, token: int, reach: int) -> tuple[int, int] | None:
        """The strongest break that leaves no small chunk, and the last one of its kind.

        Paragraphs are kept whole rather than chunks full: theirs count from a quarter of the limit on, a sentence's
        from a half.
        """
        quarter, half = (self._starts[token + self._limit // part] for part in (4, 2))
        best: tuple[int, int] | None = None
        for at in range(bisect_right(self._breaks, quarter), bisect_right(self._breaks, reach)):
            offset, level = self._breaks[at], self._levels[at]
            if (offset > half or level >= _LINE) and (best is None or level >= best[1]):
                best = (offset, level)
        return best

    def _back_from(self, begin: int, end: int) -> int:
        """Where the next chunk begins: at a sentence within the overlap before `end`, else at a word, else at `end`."""
        token = bisect_left(self._starts, end)
        earliest = self._starts[max(0, token - self._overlap)] if token and self._overlap else end
        earliest = max(earliest, (begin + end) // 2)
        at = bisect_left(self._breaks, earliest)
        if at < len(self._breaks) and self._breaks[at] < end:
            return self._breaks[at]
        for start in self._starts[bisect_left(self._starts, earliest) : token]:
            if self._text[start - 1].isspace():
                return start
        return end

    def _holds_long_word(self, start: int, end: int) -> bool:
        at = bisect_left(self._inside, start)
        return at < len(self._inside) and self._inside[at] < end


def _token_starts(spans: Spans) -> tuple[array[int], array[int]]:
    """Where tokens begin, and the beginnings that are made up inside long words.

    Of a book these are millions, hence arrays, which lists would exceed five times in memory.

    A tokenizer may make one "unknown" token of a word without end; it counts as one token per four characters here,
    so that such a word is cut too.
    """
    table = np.asarray(spans, np.int64).reshape(-1, 2)
    long = table[table[:, 1] - table[:, 0] > _LONG_TOKEN]
    if not len(long):
        return _numbers(table[:, 0]), array("q")
    inside = np.concatenate([np.arange(a, b, _LONG_STEP) for a, b in long])
    starts = np.unique(np.concatenate([table[:, 0], inside]))
    return _numbers(starts), _numbers(inside)


def _numbers(values: NDArray[np.int64]) -> array[int]:
    return array("q", np.ascontiguousarray(values).tobytes())


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _heading_paths(headings: Sequence[Heading]) -> list[str]:
    """For each heading the titles above it and its own: "Install > Linux"."""
    paths: list[str] = []
    above: list[tuple[int, str]] = []
    for _, level, title in headings:
        above = [(known, name) for known, name in above if known < level]
        above.append((level, title))
        paths.append(" > ".join(name for _, name in above)[:_POSITION_LENGTH])
    return paths
