"""A table and its columns to a recipe, the TOML that `hearth train` reads; what a person would write by hand.

Both functions are pure; `keep` writes their recipe into the home, with the data beside it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import unicodedata
from pathlib import Path
from typing import Any

from chat.training.errors import writing
from chat.training.table import Table
from models.catalog import DEFAULTS
from models.roles import is_role
from training.toml import to_toml

FILE = "recipe.toml"
_WANTED_STEPS = 100  # fewer teach a new head too little
_MOST_EPOCHS, _FEWEST_EPOCHS = 20, 3
_BATCH_ROWS = 32
_LEARN_SHARE = 0.7
_JUDGEMENTS = 4
_LEAST_GAIN = 0.01  # what is only as good as what it would replace stays out
# How many rows are cut, the check tells before anything begins; the others are refused until a person bears them.
_LIMITS = {"too_long": 1.0}
_NO_LIMITS = {"leaks": 1.0, "contradictions": 1.0, "too_long": 1.0}


def classifier(table: Table, text: str, label: str, *, anyway: bool = False) -> dict[str, Any]:
    """A classifier on the embedded sentence encoder, as an adapter; few rows are seen more often.

    Args:
        table: What was dropped.
        text: The column with the texts.
        label: The column with the labels; lists in it make a classifier of several labels at once.
        anyway: Go on although rows contradict each other, or stand in two parts.
    """
    rows = max(1, int(table.rows * _LEARN_SHARE))
    epochs = min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, -(-_WANTED_STEPS * _BATCH_ROWS // rows)))
    several = table.several(label)
    return {
        "name": entry_name(table.name),
        "base": DEFAULTS["embed"].name,
        "seed": 7,
        "task": {"kind": "sequence-classification", "problem": "multi" if several else "single"},
        "data": _data(table, {"text": text, "label": label}, anyway),
        "method": {"kind": "lora", "rank": 16, "alpha": 32, "dropout": 0.05},
        "training": {
            "epochs": epochs,
            "batch_rows": _BATCH_ROWS,
            "learning_rate": 6e-4,
            "head_learning_rate": 1e-3,
            "schedule": "cosine",
            "evaluate_every_steps": max(1, epochs * -(-rows // _BATCH_ROWS) // _JUDGEMENTS),
        },
        "evaluation": {"baseline": "current"},
        "gate": {"better_by": _LEAST_GAIN},
        "publish": {
            "name": entry_name(table.name),
            "description": f"Gives a text one of the labels of {table.name}, column {label}.",
        },
    }


def conversation(table: Table, question: str, answer: str, *, anyway: bool = False) -> dict[str, Any]:
    """The embedded chat model with an adapter that learns to answer as a table does; arguments as for `classifier`."""
    return {
        "name": entry_name(table.name),
        "base": DEFAULTS["chat"].name,
        "seed": 7,
        "task": {"kind": "chat"},
        "data": _data(table, {"prompt": question, "completion": answer}, anyway) | {"validation_rows": 50},
        "method": {"kind": "lora"},
        "training": {"epochs": 2, "batch_rows": 8, "max_tokens": 640, "learning_rate": 5e-4, "schedule": "cosine"},
        "gate": {"better_by": _LEAST_GAIN},
        "publish": {"name": entry_name(table.name), "description": f"Answers as {table.name} does."},
    }


def keep(recipe: dict[str, Any], table: Table, home: Path) -> Path:
    """Writes a recipe with its data into the home and gives the recipe's file; other rows get a folder of their own.

    Raises:
        NotWritten: the disk is full or fails.
    """
    with table.path.open("rb") as rows:
        digest = hashlib.file_digest(rows, "sha256").hexdigest()
    folder = home / "recipes" / f"{recipe['name']}-{digest[:8]}"
    path = folder / FILE
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table.path, folder / _data_name(table))
        path.write_text(f"# Made from {table.name!r} on the page.\n{to_toml(recipe)}", encoding="utf-8")
    return path


def kept(home: Path) -> list[Path]:
    """The recipes that `keep` wrote into a home."""
    return sorted((home / "recipes").glob(f"*/{FILE}"))


def entry_name(file_name: str) -> str:
    """A registry entry's name for what is trained on a file: small letters, digits and hyphens."""
    letters = unicodedata.normalize("NFKD", Path(file_name).stem.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].strip("-") or "table"
    return f"{name}-table" if is_role(name) else name


def _data(table: Table, columns: dict[str, str], anyway: bool) -> dict[str, Any]:
    renamed = {own: name for own, name in columns.items() if own != name}
    return {
        "train": _data_name(table),
        "columns": renamed,
        "split": {"validation": 0.1, "test": 0.2},
        "limits": _NO_LIMITS if anyway else _LIMITS,
    }


def _data_name(table: Table) -> str:
    return f"rows{table.path.suffix}"
