"""A run's folder: what lies in it under which name, whose it is just now, and in what state the run is.

It holds the recipe, the data as it was read, `metrics.jsonl`, checkpoints, the trained model and the report.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from training.errors import RunBusy, RunNotFound, TrainingError
from training.recipe import Recipe, recipe_from

BASE, FINGERPRINT = "base.json", "fingerprint.json"


def new_run_folder(recipe: Recipe, home: Path) -> Path:
    """Where a run that begins now goes."""
    return home / "runs" / f"{recipe.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"


def find_run(name: str, home: Path) -> Path:
    """The folder of a run: by its name under the data folder, by its path, or `last`.

    Raises:
        RunNotFound: no run there.
    """
    folders = run_folders(home)
    if name == "last" and folders:
        return folders[-1]
    for folder in (home / "runs" / name, Path(name).expanduser()):
        if (folder / "recipe.json").is_file():
            return folder.absolute()
    raise RunNotFound(name, "is not there")


def run_folders(home: Path) -> list[Path]:
    """Every run under the data folder, the newest last."""
    found = [path.parent for path in (home / "runs").glob("*/recipe.json")]
    return sorted(found, key=lambda path: (path / "recipe.json").stat().st_mtime)


def keep_recipe(folder: Path, recipe: Recipe) -> None:
    """Writes what `recipe_of` reads."""
    write(folder / "recipe.json", recipe.resolved() | {"data_from": str(recipe.path.parent)})


def recipe_of(folder: Path) -> Recipe:
    """The recipe of a run folder, its data paths as they were.

    Raises:
        RunNotFound: no run there.
    """
    try:
        facts = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunNotFound(folder.name, "is not there or has no recipe.json") from error
    table = {key: facts[key] for key in ("name", "base", "seed") if facts[key] is not None}
    table["task"] = {"kind": facts["task"], **facts["options"]}
    for part in ("data", "method", "training", "evaluation", "gate", "publish"):
        table[part] = {key: value for key, value in facts[part].items() if value is not None}
    return recipe_from(table, Path(facts["data_from"]) / f"{facts['name']}.toml")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the run folder; the system lets go of it when the process dies, however it dies."""
    if not folder.is_dir():
        raise RunNotFound(folder.name, "is not there")
    lock = FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunBusy(folder, _holder(folder)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Keeps `run.json`: what state the run is in, and the process that has it."""
    facts: dict[str, Any] = {"process": os.getpid(), "began": datetime.now(UTC).isoformat(timespec="seconds")}
    write(folder / "run.json", facts | {"state": "running"})
    try:
        yield
    except BaseException as error:
        code = error.code if isinstance(error, TrainingError) else getattr(error, "code", type(error).__name__)
        state = "interrupted" if code in ("interrupted", "KeyboardInterrupt") else "failed"
        write(folder / "run.json", facts | {"state": state, "code": code, "message": str(error)})
        raise
    write(folder / "run.json", facts | {"state": "finished", "ended": datetime.now(UTC).isoformat(timespec="seconds")})


def _holder(folder: Path) -> str:
    try:
        return str(json.loads((folder / "run.json").read_text(encoding="utf-8"))["process"])
    except (OSError, ValueError, KeyError):
        return "unknown"


def write(path: Path, value: dict[str, Any]) -> None:
    """Puts a JSON file in place of what was there, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False), encoding="utf-8")
    temporary.replace(path)
