"""A recipe: one TOML file that is a whole run, read into frozen values before anything heavy is imported.

Every key is a field below; an unknown one is an error that lists the known ones.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from training.errors import MissingKey, RecipeError, RecipeNotFound, UnknownKey

SHIPPED = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Split:
    """How rows are set apart where a part has no file of its own: a share each, drawn with the recipe's seed.

    `by` keeps the rows with the same value of a column (a title, a document) in one part; of several columns the first
    that a row has.
    """

    validation: float = 0.1
    test: float = 0.1
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What shares of the rows may have a fault before the run is refused, each between 0 and 1."""

    leaks: float = 0.0
    contradictions: float = 0.02
    too_long: float = 0.5


@dataclass(frozen=True)
class Data:
    """Where rows come from.

    Attributes:
        train, validation, test: Files (csv, tsv, json, jsonl, parquet, txt, .gz of these), folders of a saved data set,
            or `hub:name[:config][:split]`; relative to the recipe file.
        further: More of the same to learn from, and from nothing else: none of it is chosen by or judged on, and rows
            that belong together (`split.by`) with one that is are left out.
        hub: The name of the same data on the Hugging Face hub, for people without the files.
        licence: The data's licence, for the model card.
        columns: The task's column -> the data's column, where they differ.
        values: The task's column -> one value for all rows, where the data has no such column.
        paragraphs: A .txt file's rows are its paragraphs, with empty lines between them, and not its lines.
        train_rows, validation_rows, test_rows: Use at most so many, drawn with the seed.
    """

    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    hub: str | None = None
    licence: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    split: Split = Split()
    limits: Limits = Limits()
    paragraphs: bool = False
    train_rows: int | None = None
    validation_rows: int | None = 1000
    test_rows: int | None = None


@dataclass(frozen=True)
class Method:
    """Which weights learn: all ("full"), the new head alone ("frozen"), or a LoRA adapter and the head.

    `start` names what an adapter begins with, as an entry or a run's model folder: another adapter of the same base,
    rank and alpha, or a model whose weights were all tuned from that base, of which the low ranks are taken; with
    its head, where that has the same name and shape.
    """

    kind: Literal["full", "frozen", "lora", "qlora"] = "full"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    layers: tuple[str, ...] = ()  # names of linear layers; none: all of them
    start: str | None = None


@dataclass(frozen=True)
class Training:
    """The hyper-parameters.

    Attributes:
        loop: The Hugging Face Trainer, or the loop of `training/loop.py` that can be read from top to bottom.
        epochs: Times every row is seen; `steps` (optimizer steps) wins where given.
        batch_rows: Rows of one forward pass; `batch_tokens` also bounds rows x longest.
        accumulation_steps: Forward passes of one optimizer step.
        max_tokens: Longer inputs are cut; None takes the model's window.
        warmup: Share of the steps in which the rate rises from 0.
        precision: "bf16" computes in bfloat16 and keeps the learning weights in float32; "auto" where the CPU or GPU is
            fast at it.
        checkpoint_every_seconds, evaluate_every_steps: 0 is never; the end always has both.
        average_epochs: The weights at the ends of so many last epochs are averaged, and the average is taken where it
            is no worse than the best checkpoint; 0 does not.
        patience: Evaluations without a better score before the run stops early; 0 never stops.
        threads: CPU threads; None takes all that the process may use. Part of what a resumed run must repeat.
        tensorboard: Write the numbers of metrics.jsonl as TensorBoard events beside it, too.
    """

    loop: Literal["trainer", "accelerate"] = "trainer"
    epochs: float = 3.0
    steps: int | None = None
    batch_rows: int = 32
    batch_tokens: int | None = None
    accumulation_steps: int = 1
    learning_rate: float = 5e-5
    head_learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.06
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    gradient_clip_norm: float = 1.0
    label_smoothing: float = 0.0
    max_tokens: int | None = None
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    checkpoint_every_seconds: float = 600.0
    evaluate_every_steps: int = 0
    average_epochs: int = 0
    patience: int = 0
    threads: int | None = None
    tensorboard: bool = False


@dataclass(frozen=True)
class Evaluation:
    """How the trained model is judged: its metric, and what it is held against."""

    metric: str | None = None
    baseline: Literal["simple", "current"] = "simple"


@dataclass(frozen=True)
class Gate:
    """What must hold before a model may be published.

    Attributes:
        minimum: The least score on the test part.
        better_by: How much the score must be above the baseline's.
        beyond_chance: Whether the paired difference's 95 % interval must lie above `better_by` and not only its middle.
    """

    minimum: float | None = None
    better_by: float = 0.0
    beyond_chance: bool = False


@dataclass(frozen=True)
class Publish:
    """The name and the role of the registry entry; no name keeps the recipe's own."""

    name: str | None = None
    role: str | None = None
    licence: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Recipe:
    """One run, whole. `options` are the task's own keys of `[task]`, read by the task."""

    name: str
    task: str
    base: str | None
    path: Path
    seed: int = 0
    data: Data = Data()
    method: Method = Method()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()
    publish: Publish = Publish()
    options: dict[str, Any] = field(default_factory=dict)

    def resolved(self) -> dict[str, Any]:
        """Every value, defaults included, as JSON-able values; equal runs have equal ones wherever the file lies."""
        value: dict[str, Any] = dataclasses.asdict(self)
        del value["path"]
        return value


_TOP: dict[str, type] = {
    "data": Data,
    "method": Method,
    "training": Training,
    "evaluation": Evaluation,
    "gate": Gate,
    "publish": Publish,
}
_PLAIN = {"name", "base", "seed", "task"}


def load_recipe(name: str | Path, changes: typing.Mapping[str, Any] | None = None, *, small: bool = False) -> Recipe:
    """Reads a recipe file, or a shipped recipe by its name.

    Args:
        name: A path ending in .toml, or a name of `training/recipes`.
        changes: Dotted keys with values that replace the file's, such as `{"training.epochs": 1}`.
        small: Take the file's `[small]` table, dotted keys of the same kind, for a run of seconds; `changes` win.

    Raises:
        RecipeNotFound: no such file or name.
        RecipeError, UnknownKey, MissingKey: what the file says cannot be used.
    """
    table, path = recipe_table(name, changes, small=small)
    table.pop("search", None)  # what `hearth train search` tries; a run has no use for it
    return recipe_from(table, path)


def recipe_table(
    name: str | Path, changes: typing.Mapping[str, Any] | None = None, *, small: bool = False
) -> tuple[dict[str, Any], Path]:
    """A recipe as its file's table with the changes in it, `[search]` still there, and the file; see `load_recipe`."""
    path = recipe_path(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), "its text", str(error), "TOML in UTF-8") from error
    tried = _small_changes(table.pop("small", None), path.name, wanted=small)
    for key, value in {**tried, **(changes or {})}.items():
        put(table, key, value)
    return table, path


def _small_changes(table: Any, where: str, *, wanted: bool) -> dict[str, Any]:
    """What `[small]` changes, as dotted keys; nothing where the small form is not wanted."""
    if table is None and wanted:
        raise MissingKey(where, "small", "a table of changes for a run of seconds, such as training.steps = 4")
    if table is not None and not isinstance(table, dict):
        raise RecipeError(where, "small", repr(table), "a table of dotted keys with values")
    return _dotted(table) if table is not None and wanted else {}


def _dotted(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as one with dotted keys, which is how TOML reads `training.steps = 4`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _dotted(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found


def recipe_path(name: str | Path) -> Path:
    """The file of a recipe given by path or by the name of a shipped one.

    Raises:
        RecipeNotFound: neither is there.
    """
    given = Path(name).expanduser()
    if given.suffix == ".toml" and given.is_file():
        return given.absolute()
    shipped = SHIPPED / f"{name}.toml"
    if shipped.is_file():
        return shipped
    raise RecipeNotFound(str(name), sorted(path.stem for path in SHIPPED.glob("*.toml")))


def recipe_from(table: dict[str, Any], path: Path) -> Recipe:
    """The recipe that a parsed TOML table describes; `path` is where relative data paths begin."""
    from training.tasks import KINDS, options_class

    where = path.name
    if unknown := next((key for key in table if key not in _PLAIN | set(_TOP)), None):
        raise UnknownKey(where, unknown, sorted(_PLAIN | set(_TOP)))
    task = table.get("task")
    if not isinstance(task, dict) or "kind" not in task:
        raise MissingKey(where, "task.kind", f"one of {', '.join(sorted(KINDS))}")
    kind = task["kind"]
    if kind not in KINDS:
        raise RecipeError(where, "task.kind", repr(kind), f"one of {', '.join(sorted(KINDS))}")
    options = {key: value for key, value in task.items() if key != "kind"}
    read(options_class(kind), options, where, "task")  # refused here, before a model is loaded
    values: dict[str, Any] = {
        "name": _typed(table.get("name", path.stem), str, where, "name"),
        "task": kind,
        "base": _typed(table.get("base"), str | None, where, "base"),
        "seed": _typed(table.get("seed", 0), int, where, "seed"),
        "path": path,
        "options": options,
    }
    parts = {key: read(part, table.get(key, {}), where, key) for key, part in _TOP.items()}
    recipe = Recipe(**values, **parts)
    _check(recipe, where)
    return recipe


def read(wanted: type, table: Any, where: str, prefix: str) -> Any:
    """A dataclass filled from a table, each value checked against its annotation.

    Raises:
        RecipeError: a value has the wrong type. UnknownKey: no field of that name.
    """
    if not isinstance(table, dict):
        raise RecipeError(where, prefix, repr(table), "a table")
    hints = typing.get_type_hints(wanted)
    if unknown := next((key for key in table if key not in hints), None):
        raise UnknownKey(where, f"{prefix}.{unknown}", sorted(hints))
    return wanted(**{key: _typed(value, hints[key], where, f"{prefix}.{key}") for key, value in table.items()})


def _typed(value: Any, hint: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return read(typing.cast(type, hint), value, where, key)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _typed(value, next(one for one in inner if one is not type(None)), where, key)
    if origin is Literal:
        if value not in inner:
            raise RecipeError(where, key, repr(value), f"one of {', '.join(map(repr, inner))}")
        return value
    if origin is tuple:
        many = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
        return tuple(_typed(one, inner[0], where, key) for one in many)
    if origin is dict:
        if not isinstance(value, dict):
            raise RecipeError(where, key, repr(value), "a table")
        return {str(name): _typed(one, inner[1], where, f"{key}.{name}") for name, one in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise RecipeError(where, key, repr(value), f"a value of type {hint.__name__}")
    return value


def put(table: dict[str, Any], key: str, value: Any) -> None:
    """Sets the value of a dotted key in nested tables."""
    *outer, last = key.split(".")
    for name in outer:
        table = table.setdefault(name, {})
    table[last] = value


def _check(recipe: Recipe, where: str) -> None:
    training, split, method = recipe.training, recipe.data.split, recipe.method
    if not recipe.data.train:
        raise MissingKey(where, "data.train", "the files to learn from")
    positive = {
        "training.batch_rows": training.batch_rows,
        "training.accumulation_steps": training.accumulation_steps,
        "training.learning_rate": training.learning_rate,
        "training.epochs": training.epochs,
        "method.rank": method.rank,
    }
    for key, value in positive.items():
        if value <= 0:
            raise RecipeError(where, key, repr(value), "more than 0")
    shares = {
        "data.split.validation": split.validation,
        "data.split.test": split.test,
        "training.warmup": training.warmup,
        "training.label_smoothing": training.label_smoothing,
        "method.dropout": method.dropout,
    }
    for key, value in shares.items():
        if not 0 <= value < 1:
            raise RecipeError(where, key, repr(value), "a share from 0 up to but not including 1")
