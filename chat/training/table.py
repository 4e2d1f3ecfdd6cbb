"""What a dropped table holds, and which of its columns could be the text and which the label.

Every row is looked at once and none is kept, so a large file costs time and no memory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.errors import DataError
from training.sources import rows_of

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
_TEXT_NAMES = frozenset("text sentence message review comment body content utterance document tweet request".split())
_LABEL_NAMES = frozenset("label labels class category categories intent sentiment topic tag tags".split())
_PAIR_NAMES = (
    ("question", ("answer", "response", "reply")),
    ("prompt", ("completion", "response", "output", "answer")),
    ("instruction", ("output", "response", "answer")),
)
_MOST_LABELS = 200  # more different values than that are no labels that a person gave
_LONGEST_LABEL = 60
_FEWEST_ROWS = 10
_MOST_CHOICES = 4


@dataclass
class Column:
    """One column: how many rows have it, its different values up to the most that labels have, its characters."""

    name: str
    filled: int = 0
    characters: int = 0
    several: bool = False
    values: set[str] = field(default_factory=set)

    def see(self, value: Any) -> None:
        """Counts one row's value; a list is several labels."""
        self.several = self.several or isinstance(value, list)
        for one in value if isinstance(value, list) else [value]:
            text = "" if one is None else str(one).strip()
            self.characters += len(text)
            if len(self.values) <= _MOST_LABELS:
                self.values.add(text)
        self.filled += value not in (None, "", [])

    @property
    def mean_characters(self) -> float:
        """Characters of a value on average; 0 for an empty column."""
        return self.characters / self.filled if self.filled else 0.0


@dataclass(frozen=True)
class Table:
    """A table as it was dropped: `name` is what the person calls it, `path` where it lies now."""

    name: str
    path: Path
    rows: int
    columns: tuple[Column, ...]

    def texts(self) -> list[str]:
        """The columns that could be the text, the likeliest first; a single one where there is no doubt."""
        labels = self.labels()
        sure = {labels[0]} if len(labels) == 1 else set()
        open_ones = [one for one in self.columns if one.name not in sure and one.filled and not one.several]
        found = sorted(open_ones, key=lambda one: -one.mean_characters)
        if named := [one.name for one in found if one.name.lower() in _TEXT_NAMES]:
            return named[:_MOST_CHOICES]
        if len(found) > 1 and found[0].mean_characters > 3 * found[1].mean_characters:
            return [found[0].name]
        return [one.name for one in found[:_MOST_CHOICES]]

    def labels(self) -> list[str]:
        """The columns that could be the label, those with the fewest values first; empty where none could."""
        found = sorted(filter(self._could_be_label, self.columns), key=lambda one: len(one.values))
        named = [one.name for one in found if one.name.lower() in _LABEL_NAMES]
        return (named or [one.name for one in found])[:_MOST_CHOICES]

    def pair(self) -> tuple[str, str] | None:
        """The columns of questions and of their answers, by their names; None where there are none."""
        names = {one.name.lower(): one.name for one in self.columns}
        for asked, answers in _PAIR_NAMES:
            for answer in answers:
                if asked in names and answer in names:
                    return names[asked], names[answer]
        return None

    def holds_labels(self) -> bool:
        """Whether a classifier could be trained on it."""
        return self.rows >= _FEWEST_ROWS and bool(self.labels()) and len(self.columns) > 1

    def several(self, column: str) -> bool:
        """Whether a column holds lists of labels."""
        return any(one.several for one in self.columns if one.name == column)

    def _could_be_label(self, column: Column) -> bool:
        most = min(_MOST_LABELS, max(2, self.rows // 2))
        return 2 <= len(column.values - {""}) <= most and column.mean_characters <= _LONGEST_LABEL


def is_table(name: str) -> bool:
    """Whether a file of this name is a table that can be trained on."""
    return Path(name).suffix.lower() in SUFFIXES


def look(received: Path, name: str) -> Table:
    """Reads a dropped table.

    Args:
        received: Where the server put it, under a name of its own.
        name: The person's name for it, whose ending tells its kind.

    Raises:
        DataError: it cannot be read, by the person's name.
    """
    path = _named(received, Path(name).suffix.lower())
    columns: dict[str, Column] = {}
    rows = 0
    try:
        for row in rows_of(str(path), path.parent):
            rows += 1
            _see(columns, row.values.items())
    except DataError as error:
        raise DataError(name, error.problem, error.line) from error
    if not rows:
        raise DataError(name, "the file has no rows.")
    return Table(name, path, rows, tuple(columns.values()))


def _see(columns: dict[str, Column], values: Iterable[tuple[str, Any]]) -> None:
    for name, value in values:
        columns.setdefault(name, Column(name)).see(value)


def _named(received: Path, suffix: str) -> Path:
    """The same file under a name that ends as it should: a kind is told by it."""
    path = received.with_name(f"{received.stem}-table{suffix}")
    if not path.exists():
        try:
            os.link(received, path)
        except OSError:  # a file system without links
            shutil.copyfile(received, path)
    return path
