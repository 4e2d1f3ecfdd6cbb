"""What a recipe's `[search]` lets a search turn: a range or a list of values for a dotted key of the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.errors import MissingKey, RecipeError
from training.recipe import read

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them; whole ones where both are. `log` draws their magnitude evenly."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Dial:
    """One key of the recipe, such as `training.learning_rate`, with a range or a list of values."""

    key: str
    range: Range | None = None
    choices: tuple[Any, ...] = ()
    whole: bool = False

    def suggest(self, trial: optuna.Trial) -> Any:
        """The value of a trial."""
        if self.range is None:
            return trial.suggest_categorical(self.key, self.choices)
        low, high, log = self.range.low, self.range.high, self.range.log
        if self.whole:
            return trial.suggest_int(self.key, int(low), int(high), log=log)
        return trial.suggest_float(self.key, low, high, log=log)

    def holds(self, value: Any) -> bool:
        """Whether a value is one that the search could try."""
        if self.range is None:
            return value in self.choices
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.range.low <= value <= self.range.high and (not self.whole or value == int(value))

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all of them when a recipe is checked."""
        if self.range is None:
            return self.choices
        return tuple(int(end) if self.whole else end for end in (self.range.low, self.range.high))


def read_dials(table: Any, where: str) -> list[Dial]:
    """The dials of a recipe's `[search]` table; `where` is the recipe's file.

    Raises:
        MissingKey: there is no such table, or nothing in it. RecipeError: a value is no range and no list.
    """
    example = 'such as "training.learning_rate" = { low = 1e-5, high = 1e-3, log = true }'
    if not isinstance(table, Mapping) or not table:
        raise MissingKey(where, "search", f"a table of the keys to try, {example}")
    return [_dial(key, value, where) for key, value in _leaves(table, "")]


def _leaves(table: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Dotted keys, whether the file quotes them or nests them, with their ranges and lists."""
    for key, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high"} & value.keys():
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _dial(key: str, value: Any, where: str) -> Dial:
    place = f"search.{key}"
    if isinstance(value, list):
        if not value or not all(isinstance(one, (str, int, float, bool)) for one in value):
            raise RecipeError(where, place, repr(value), "a list of texts or numbers to choose from")
        return Dial(key, choices=tuple(value))
    if not isinstance(value, Mapping):
        raise RecipeError(where, place, repr(value), "a list of choices, or a range { low = ..., high = ... }")
    if missing := next((end for end in ("low", "high") if end not in value), None):
        raise MissingKey(where, f"{place}.{missing}", "an end of the range")
    found: Range = read(Range, dict(value), where, place)
    if not found.low < found.high or (found.log and found.low <= 0):
        expected = "low below high, and above 0 where log is true"
        raise RecipeError(where, place, f"low {found.low:g} and high {found.high:g}", expected)
    return Dial(key, range=found, whole=all(isinstance(value[end], int) for end in ("low", "high")))
