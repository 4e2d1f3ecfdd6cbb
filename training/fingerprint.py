"""What a run depends on, as short facts that a resumed run must have in common with its beginning."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path

from training.data import Splits
from training.errors import Changed
from training.recipe import Recipe
from training.run_folder import BASE, FINGERPRINT, write

_FREE = {"evaluation", "gate", "publish"}  # may change between the start and a resume
_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "datasets", "safetensors")
_TELLING = frozenset(
    "commands dials errors events over_ray plots preview publish report report_page search search_trial toml".split()
)
"""Modules of this room that tell of a run and decide nothing in it."""


def hold(folder: Path, recipe: Recipe, splits: Splits, home: Path, *, resumed: bool) -> None:
    """Writes the fingerprint of a run that begins, and compares a resumed one with what was written.

    Raises:
        Changed: something is not what it was.
    """
    from models.registry_facts import Base

    base = Base.of(recipe.base, home) if recipe.base else None
    facts = fingerprint(recipe, splits) | ({"base": base.label} if base else {})
    path = folder / FINGERPRINT
    if not resumed:
        write(path, facts)
        if base:  # publishing asks for the base as it was now
            write(folder / BASE, dict(base.__dict__))
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    if changes := [_change(key, before.get(key), facts.get(key)) for key in facts if before.get(key) != facts[key]]:
        raise Changed(folder, changes)


def fingerprint(recipe: Recipe, splits: Splits) -> dict[str, str]:
    """What a resumed run must have in common with its beginning, as facts with short values."""
    settings = {key: value for key, value in recipe.resolved().items() if key not in _FREE}
    threads = recipe.training.threads or os.cpu_count() or 1
    return {
        "recipe": hash_of(json.dumps(settings, sort_keys=True)),
        "data": splits.fingerprint[:16],
        "code": _code(),
        "threads": str(threads),
        **{name: version(name) for name in _LIBRARIES},
    }


@cache
def _code() -> str:
    """A hash of the code that decides what a run computes, as this process has loaded it."""
    import models.prompts

    own = [path for path in Path(__file__).parent.rglob("*.py") if path.stem not in _TELLING]
    files = [*sorted(own), Path(models.prompts.__file__)]
    return hash_of("".join(path.read_text(encoding="utf-8") for path in files))


def _change(key: str, before: str | None, now: str | None) -> str:
    return f"{key} ({before} -> {now})" if key in (*_LIBRARIES, "threads") else f"the {key}"


def hash_of(text: str) -> str:
    """Sixteen hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
