"""What a classifier gave, as a table: each label with its probability, and a bar to see it by.

Markdown alone, so it is there for a screen reader, in a copy and in a terminal as well as on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.events import Answer
from chat.inert import plain

_BAR = 20
_MOST_ROWS = 12


def as_table(answer: Answer) -> str | None:
    """The probabilities of one classified text; None for every other answer."""
    if answer.tool != "classify" or not _is_distribution(answer.data):
        return None
    return table([(str(row["label"]), float(row["score"])) for row in answer.data])


def table(scores: Sequence[tuple[str, float]]) -> str:
    """A table of labels in their order, at most a dozen of them."""
    rows = [f"| {_cell(label)} | {score:.1%} | {bar(score)} |" for label, score in scores[:_MOST_ROWS]]
    rest = len(scores) - len(rows)
    more = [f"\nand {rest} more labels"] if rest > 0 else []
    return "\n".join(["| Label | Probability | |", "|---|---:|---|", *rows, *more])


def bar(share: float) -> str:
    """A share from 0 to 1 as a bar; anything above 0 is seen."""
    filled = round(share * _BAR)
    return "█" * filled or ("▏" if share > 0 else "")


def _cell(label: str) -> str:
    return " ".join(plain(label).split()) or "(no name)"


def _is_distribution(data: Any) -> bool:
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(row, dict) and {"label", "score"} <= row.keys() for row in data)
    )
