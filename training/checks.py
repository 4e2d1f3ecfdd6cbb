"""What is counted in the rows before anything is loaded: repeats, contradictions, leaks between the parts, secrets.

Counts and the first examples go into the report; a share above the recipe's limit refuses the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from training.data import LINE, SOURCE, Column, Part, Splits
from training.errors import Contradiction, Leak
from training.recipe import Recipe

_SHOWN = 5
_INPUTS = ("text", "texts", "messages", "tokens")
# things that look like keys: a model can learn them by heart and say them to anyone
_SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bsk-[A-Za-z0-9_-]{32,}\b"
    r"|\bxox[baprs]-[A-Za-z0-9-]{20,}"
)


@dataclass
class DataReport:
    """What was found; rows are named as `source:line`."""

    rows: dict[str, int]
    dropped: dict[str, int]
    repeated: int = 0
    contradictions: int = 0
    leaks: dict[str, int] = field(default_factory=dict)
    secrets: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def check_data(recipe: Recipe, columns: Sequence[Column], splits: Splits) -> DataReport:
    """Counts faults over all parts.

    Raises:
        Leak, Contradiction: more than the recipe's limits allow.
    """
    inputs = [column.name for column in columns if column.kind in _INPUTS and not column.answer]
    free = any(column.answer for column in columns)  # a question has many right answers where they are texts
    report = DataReport({name: len(part) for name, part in splits.items()}, splits.dropped)
    seen: dict[bytes, tuple[str, str]] = {}
    contradicting: set[bytes] = set()
    contrary_rows = 0
    for row in splits.train:
        key, rest = _key(row, inputs), _rest(row, inputs)
        before = seen.get(key)
        if before is None:
            seen[key] = (rest, _where(row))
        elif before[0] == rest:
            report.repeated += 1
            _example(report, "repeated", f"{_where(row)} repeats {before[1]}")
        elif not free:
            contrary_rows += 1 if key in contradicting else 2
            contradicting.add(key)
            _example(report, "contradictions", f"{_where(row)} contradicts {before[1]}")
        if _SECRETS.search(json.dumps(row, ensure_ascii=False, default=str)):
            report.secrets += 1
            _example(report, "secrets", _where(row))
    report.contradictions = contrary_rows
    for name in ("validation", "test"):
        report.leaks[name] = _leaks(getattr(splits, name), inputs, seen, report, name)
    _refuse(recipe, report)
    return report


def _leaks(part: Part, inputs: Sequence[str], seen: dict[bytes, tuple[str, str]], report: DataReport, name: str) -> int:
    count = 0
    for row in part:
        if (known := seen.get(_key(row, inputs))) is not None:
            count += 1
            _example(report, f"leaks of {name}", f"{_where(row)} is {known[1]} of the training part")
    return count


def _refuse(recipe: Recipe, report: DataReport) -> None:
    limits = recipe.data.limits
    share = report.contradictions / max(1, report.rows["train"])
    if share > limits.contradictions:
        raise Contradiction(
            ", ".join(recipe.data.train),
            f"{report.contradictions:,} rows ({share:.1%}) have another label than a row with the same text, first "
            f"{report.examples['contradictions'][0]}; correct them or raise data.limits.contradictions.",
        )
    for name, count in report.leaks.items():
        share = count / max(1, report.rows[name])
        if share > limits.leaks:
            raise Leak(
                ", ".join(getattr(recipe.data, name) or recipe.data.train),
                f"{count:,} rows of the {name} part ({share:.1%}) stand in the training part too, first "
                f"{report.examples[f'leaks of {name}'][0]}; take them out or raise data.limits.leaks.",
            )


def _key(row: dict[str, Any], inputs: Sequence[str]) -> bytes:
    """Rows with equal inputs, but for case and white space, have equal keys."""
    text = json.dumps([row.get(name) for name in inputs], ensure_ascii=False, default=str)
    return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogatepass")).digest()[:16]


def _rest(row: dict[str, Any], inputs: Sequence[str]) -> str:
    rest = {key: row[key] for key in sorted(row) if key not in (*inputs, SOURCE, LINE, "id")}
    return json.dumps(rest, ensure_ascii=False, default=str)


def _where(row: dict[str, Any]) -> str:
    return f"{row[SOURCE]}:{row[LINE]}"


def _example(report: DataReport, kind: str, text: str) -> None:
    own = report.examples.setdefault(kind, [])
    if len(own) < _SHOWN:
        own.append(text)
