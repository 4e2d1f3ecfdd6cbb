"""Questions about a table: the cells that answer, and the number they come to where the question asks for one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.errors import BrokenModel, PromptTooLong
from models.scheduler import process_scheduler
from models.tasks.base import TaskModel, as_texts, tokenizer_turn
from models.tasks.errors import BadTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHOSEN = 0.5  # a cell's mean token probability above which TAPAS counts it as selected
_NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


@dataclass(frozen=True)
class TableAnswer:
    """The answer, the cells it stands on as (row, column) from 0, and what was done with them.

    `aggregator` is NONE, SUM, AVERAGE or COUNT; `answer` holds the cells, or the number they come to; empty where no
    cell answers. `score` is the mean probability of the chosen cells.
    """

    answer: str
    coordinates: tuple[tuple[int, int], ...]
    cells: tuple[str, ...]
    aggregator: str
    score: float

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {
            "answer": self.answer,
            "coordinates": [list(pair) for pair in self.coordinates],
            "cells": list(self.cells),
            "aggregator": self.aggregator,
            "score": self.score,
        }


class TableAnswerer(TaskModel):
    """A TAPAS model; a table too long for its window is read in bands of rows, and the surest band's answer counts."""

    role_name = "table-answer"

    def _check(self) -> None:
        super()._check()
        if self.config.get("select_one_column") is False:  # forward() asks for column scores that such a model lacks
            raise BrokenModel(self.folder, "transformers cannot run a TAPAS model whose select_one_column is false")

    def __call__(self, question: str, table: Sequence[Mapping[str, Any]]) -> TableAnswer:
        """The answer to a question about a table given as rows of column to value.

        Raises:
            EmptyText: the question is empty.
            BadTable: no rows, or rows with different columns.
            PromptTooLong: one row alone does not fit the window.
        """
        asked = as_texts(question, "question")[0]
        columns, rows = read_table(table)
        best: tuple[float, int, NDArray[np.float64], str] | None = None
        for start, band in self._bands(asked, columns, rows):
            scores, aggregator = self._cell_scores(asked, columns, band)
            height = float(scores.max(initial=0.0))
            if best is None or height > best[0]:
                best = (height, start, scores, aggregator)
        assert best is not None  # read_table refuses an empty table
        _, start, scores, aggregator = best
        chosen = [(int(row), int(column)) for row, column in zip(*(scores > _CHOSEN).nonzero(), strict=True)]
        cells = [rows[start + row][column] for row, column in chosen]
        mean = sum(float(scores[pair]) for pair in chosen) / len(chosen) if chosen else 0.0
        places = tuple((start + row, column) for row, column in chosen)
        return TableAnswer(aggregate(cells, aggregator), places, tuple(cells), aggregator, mean)

    def _bands(self, question: str, columns: Sequence[str], rows: list[list[str]]) -> list[tuple[int, list[list[str]]]]:
        """The rows in bands that fit the window, each with the index of its first row."""
        if self._length(question, columns, rows) <= self.window:
            return [(0, rows)]
        bands, start = [], 0
        while start < len(rows):
            size = len(rows) - start
            while size > 1 and self._length(question, columns, rows[start : start + size]) > self.window:
                size //= 2
            tokens = self._length(question, columns, rows[start : start + size])
            if tokens > self.window:
                raise PromptTooLong(tokens, self.window)
            bands.append((start, rows[start : start + size]))
            start += size
        return bands

    def _length(self, question: str, columns: Sequence[str], rows: list[list[str]]) -> int:
        return len(self._encode(question, columns, rows)["input_ids"][0])

    def _encode(self, question: str, columns: Sequence[str], rows: list[list[str]]) -> Any:
        import pandas

        table = pandas.DataFrame(rows, columns=list(columns), dtype=str)
        with tokenizer_turn:
            return self.load().tokenizer(table=table, queries=[question], padding=False, truncation=False)

    def _cell_scores(
        self, question: str, columns: Sequence[str], rows: list[list[str]]
    ) -> tuple[NDArray[np.float64], str]:
        """Each cell's mean token probability, shape (rows, columns), and the name of the aggregator."""
        import numpy as np
        import torch

        model = self.load().model
        encoded = self._encode(question, columns, rows)
        inputs = {name: torch.tensor(encoded[name], device=model.device) for name in encoded}
        with process_scheduler().slot(), torch.inference_mode():
            output = model(**inputs)
        tokens = torch.sigmoid(output.logits[0].double()).cpu().numpy()
        types = np.asarray(encoded["token_type_ids"][0])
        total, count = np.zeros((len(rows), len(columns))), np.zeros((len(rows), len(columns)))
        for probability, (segment, column, row, *_) in zip(tokens, types, strict=True):
            if segment == 1 and row > 0 and column > 0:  # row 0 is the header
                total[row - 1, column - 1] += probability
                count[row - 1, column - 1] += 1
        logits = output.logits_aggregation
        names = model.config.aggregation_labels or {}
        chosen = int(logits[0].argmax()) if logits is not None else 0
        label = str(names.get(chosen, names.get(str(chosen), "NONE"))).upper()
        return total / np.maximum(count, 1), label


def read_table(table: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of text from rows of column to value.

    Raises:
        BadTable: no rows, no columns, or rows with different columns.
    """
    if not table or not table[0]:
        raise BadTable("The table has no rows or no columns: give a header and at least one row.")
    columns = list(table[0])
    for number, row in enumerate(table, start=1):
        if list(row) != columns:
            raise BadTable(f"Row {number} of the table has the columns {list(row)} where {columns} were expected.")
    return [str(name) for name in columns], [["" if row[c] is None else str(row[c]) for c in columns] for row in table]


def aggregate(cells: Sequence[str], aggregator: str) -> str:
    """The cells as one answer: listed, counted, or added up; listed where one of them holds no number."""
    if aggregator == "COUNT":
        return str(len(cells))
    numbers = [float(match.group().replace(",", "")) for cell in cells if (match := _NUMBER.search(cell))]
    if aggregator in ("SUM", "AVERAGE") and cells and len(numbers) == len(cells):
        value = sum(numbers) if aggregator == "SUM" else sum(numbers) / len(numbers)
        return f"{value:.10g}"
    return ", ".join(cells)
