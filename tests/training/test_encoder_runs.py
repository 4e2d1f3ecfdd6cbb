"""Encoder tasks inside whole runs: both loops alike and resumed exactly, whatever a task draws by chance (T05)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_tasks import long_text
from tests.training.test_matching import matching_rows
from tests.training.test_question_answering import questions
from tests.training.test_run import equal, stopped_after, weights
from tests.training.tiny import tiny_recipe
from training.errors import Interrupted
from training.recipe import Recipe
from training.run import resume, run
from training.tasks.reranking import Reranking

TEXTS = [{"text": long_text(20, seed)} for seed in range(40)]
PAIRS = [{"text": long_text(6, at), "text_pair": long_text(6, at + 99), "score": at} for at in range(40)]
NEW = {"tokenizer": {"size": 200}, "model": {"width": 16, "inner": 32, "layers": 1, "heads": 2, "window": 16}}
LOOSE = {"limits": {"leaks": 1.0}}

KINDS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "question-answering": (questions(40), {}),
    "masked-language-model": (TEXTS, NEW),
    "sentence-embeddings": (matching_rows(40), {"mine": "words", "hard": 1}),
    "sentence-similarity": (PAIRS, {}),
    "late-reranking": (matching_rows(40), {"keywords": 0.5, "candidates": 4}),
    "reranking": (matching_rows(40), {"mine": "vectors", "hard": 2, "candidates": 4}),
}


@pytest.fixture
def recipe_of(tmp_path: Path, bert: Path, encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tiny recipe of a kind; negatives are mined with the tiny encoder."""
    from models.embeddings import LocalEmbeddings

    miner = LocalEmbeddings(str(encoder_folder), home=tmp_path, engine="torch")
    monkeypatch.setattr(Reranking, "miner", lambda self: miner)

    def make(kind: str, **training: Any) -> Recipe:
        rows, options = KINDS[kind]
        sentences = kind.startswith(("sentence", "late"))
        base = None if kind == "masked-language-model" else encoder_folder if sentences else bert
        task = {"kind": kind, **options}
        return tiny_recipe(tmp_path, base, rows, task, data=LOOSE, training={"steps": 4, **training})

    return make


@pytest.mark.usefixtures("float32", "no_kept_models")
@pytest.mark.parametrize("kind", KINDS)
def test_t05_both_loops_and_a_resumed_run_give_the_same_weights(
    kind: str, recipe_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {"accumulation_steps": 2}
    for loop in ("trainer", "accelerate"):
        run(recipe_of(kind, loop=loop, **steps), home=tmp_path, folder=tmp_path / loop)
    assert equal(weights(tmp_path / "trainer"), weights(tmp_path / "accelerate"))
    folder = tmp_path / "stopped"
    with stopped_after(2, monkeypatch), pytest.raises(Interrupted):
        run(recipe_of(kind, **steps), home=tmp_path, folder=folder)
    resume(folder, home=tmp_path)
    assert equal(weights(folder), weights(tmp_path / "trainer"))
