"""CSV and TSV: which character divides the columns is found from the rows, and every row carries its columns' names."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator

from retrieval.formats import Extracted, Refused
from retrieval.formats.composer import Composer
from retrieval.formats.tables import is_number, labelled
from retrieval.formats.text import clean, decode
from retrieval.formats.xlsx import capped

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 200_000
MAX_FIELD_CHARACTERS = 1_000_000


def extract_delimited(data: bytes) -> Extracted:
    """A file of rows; positions are the rows as a spreadsheet counts them.

    Raises:
        Refused: too_complex for a field without end.
    """
    csv.field_size_limit(MAX_FIELD_CHARACTERS)
    decoded = decode(data)
    text = clean(decoded.text)
    composer = Composer()
    composer.warnings += decoded.warnings
    delimiter = _delimiter(text)
    composer.facts = {"encoding": decoded.encoding, "delimiter": {"\t": "tab"}.get(delimiter, delimiter)}
    rows = _Rows(text, delimiter)
    try:
        composer.lines(labelled(capped(iter(rows), composer, "file"), _has_header(text, delimiter)), numbered=True)
    except csv.Error as error:
        raise Refused("too_complex", f"has a field of more than {MAX_FIELD_CHARACTERS} characters.") from error
    if rows.ragged:
        count = "1 row" if rows.ragged == 1 else f"{rows.ragged} rows"
        found = f"has {count} with more or fewer fields than the others, kept with the fields that are there."
        composer.warnings.append(("ragged", found))
    return composer.extracted("row")


class _Rows:
    """The rows of a text, counted from 1; `ragged` counts those of another width than most at the beginning."""

    def __init__(self, text: str, delimiter: str) -> None:
        self._text, self._delimiter = text, delimiter
        widths = Counter(len(row) for row in _sample(text, delimiter) if row)
        self._usual = widths.most_common(1)[0][0] if widths else 0
        self.ragged = 0

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for number, row in enumerate(_parsed(self._text, self._delimiter), start=1):
            self.ragged += bool(row) and len(row) != self._usual
            if row:
                yield number, row


def _parsed(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(iter(text.splitlines(keepends=True)), delimiter=delimiter, skipinitialspace=True)


def _sample(text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(itertools.islice(_parsed(text[:_SAMPLE_CHARACTERS], delimiter), _SAMPLE_ROWS))
    except csv.Error:
        return []


def _delimiter(text: str) -> str:
    """The character that cuts the first rows most evenly into the most columns."""

    def evenness(delimiter: str) -> tuple[float, int]:
        widths = [len(row) for row in _sample(text, delimiter) if row]
        width, count = Counter(widths).most_common(1)[0] if widths else (1, 0)
        return (count / len(widths) if width > 1 else 0.0, width)

    return max(_DELIMITERS, key=evenness)


def _has_header(text: str, delimiter: str) -> bool:
    """Whether the first row names columns: by custom it does, unless it holds numbers or repeats itself."""
    rows = _sample(text, delimiter)
    first = [cell.strip() for cell in rows[0]] if rows else []
    filled = [cell for cell in first if cell]
    return len(rows) > 1 and bool(filled) and len(set(filled)) == len(filled) and not any(map(is_number, filled))
