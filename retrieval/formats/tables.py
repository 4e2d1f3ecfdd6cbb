"""Tables as text: every row a line that says of each value what it is, "Name: Anna | Age: 31".

A row is then understood wherever a passage begins. Which row names the columns is guessed only where it shows.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

Row = tuple[int, Sequence[str]]
"""(number, cells)"""

_LOOK_AHEAD = 8
_LONGEST_NAME = 120
_NUMBER = re.compile(r"[-+(]?\W{0,3}\d[\d.,'’ \u00a0:/%)-]*\W{0,4}(?:[A-Za-z]{1,3})?")
_SPACES = re.compile(r"\s+")


def labelled(rows: Iterable[Row], header: bool | None = None) -> Iterator[tuple[int, str]]:
    """(number, text) of every row that holds anything.

    Args:
        header: whether the first row names the columns; None to look, in each block of rows between empty ones.
    """
    coming = ((number, [_SPACES.sub(" ", cell).strip(" ") for cell in cells]) for number, cells in rows)
    ahead: deque[tuple[int, list[str]]] = deque(itertools.islice(coming, _LOOK_AHEAD))
    names: list[str] = []
    begins, just_named = True, False
    while ahead:
        number, cells = ahead.popleft()
        ahead.extend(itertools.islice(coming, 1))
        if not any(cells):
            if header is None and not just_named:  # an empty row may stand below the names, else it ends the table
                begins, names = True, []
            just_named = False
            continue
        just_named = begins and (header or (header is None and _names_columns(cells, [row for _, row in ahead])))
        if just_named:
            names, begins = cells, False
            yield number, joined(cells)
            continue
        begins = begins and header is None and sum(map(bool, cells)) < 2  # a title may stand above the names
        yield number, joined(cells, names)


def joined(cells: Sequence[str], names: Sequence[str] = ()) -> str:
    """One row as a line; values without a name of their own stand alone."""
    if list(cells) == list(names):
        names = ()
    parts = []
    for at, cell in enumerate(cells):
        name = names[at] if at < len(names) else ""
        if cell:
            parts.append(f"{name}: {cell}" if name and name != cell else cell)
    return " | ".join(parts)


def _names_columns(row: list[str], below: list[list[str]]) -> bool:
    """Whether a row looks like the columns' names: short different words, as wide as the rows below it."""
    block = list(itertools.takewhile(any, below if not below or any(below[0]) else below[1:]))
    filled = [cell for cell in row if cell]
    if len(filled) < 2 or not block or len(set(filled)) < len(filled):
        return False
    if any(len(cell) > _LONGEST_NAME or is_number(cell) for cell in filled):
        return False
    width = max(sum(map(bool, cells)) for cells in block)
    if len(filled) < width * 0.6:
        return False
    return len(filled) > 2 or _is_typed(row, block)


def _is_typed(row: list[str], block: list[list[str]]) -> bool:
    """Whether one of few columns holds numbers below: a form of names and values has words there."""
    for at, name in enumerate(row):
        values = [cells[at] for cells in block if at < len(cells) and cells[at]]
        if name and values and sum(map(is_number, values)) > len(values) * 0.7:
            return True
    return False


def is_number(cell: str) -> bool:
    """Whether a cell is a number, an amount, a date or a time rather than words."""
    return _NUMBER.fullmatch(cell) is not None
