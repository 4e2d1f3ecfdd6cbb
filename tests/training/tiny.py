"""Recipes over a few rows that train a tiny model in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.training.conftest import write_rows
from training.recipe import Recipe, recipe_from


def tiny_recipe(
    folder: Path, base: Path | None, rows: list[dict[str, Any]], task: dict[str, Any], **more: Any
) -> Recipe:
    """A recipe over `rows`; `more` are whole tables whose keys win over the defaults."""
    write_rows(folder / "rows.jsonl", rows)
    training = {"steps": 6, "batch_rows": 8, "learning_rate": 3e-3, "precision": "fp32", "threads": 1}
    table: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "task": task,
        "data": {"train": "rows.jsonl", **more.get("data", {})},
        "training": training | {"checkpoint_every_seconds": 0.0} | more.get("training", {}),
    }
    table |= {name: value for name, value in more.items() if name not in table}
    if base is not None:
        table["base"] = str(base)
    return recipe_from(table, folder / "tiny.toml")
