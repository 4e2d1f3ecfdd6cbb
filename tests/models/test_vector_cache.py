"""Vectors kept by text hash: computed once, the right one for each text, and never in the way when the file fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.embeddings import LocalEmbeddings
from models.vector_cache import VectorCache, Vectors


class Counting:
    """Gives each text a vector of its own and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> Vectors:
        self.asked += texts
        rows = [np.random.default_rng(abs(hash(text))).standard_normal(8) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture
def embed() -> Counting:
    return Counting()


def test_each_text_is_computed_once_and_has_its_own_vector(tmp_path: Path, embed: Counting) -> None:
    texts = ["one", "two", "one", "", "ünïcode 汶川", "lone \ud800"]
    first = VectorCache(tmp_path, "model", 8).through(texts, embed)
    assert embed.asked == ["one", "two", "", "ünïcode 汶川", "lone \ud800"]
    again = VectorCache(tmp_path, "model", 8).through([*reversed(texts), "three"], embed)
    assert embed.asked[5:] == ["three"]
    assert np.allclose(again[:6], first[::-1], atol=1e-3)
    assert (again[:6] * first[::-1]).sum(axis=1).min() > 0.999999
    assert np.allclose(np.linalg.norm(again, axis=1), 1, atol=1e-6)
    assert np.allclose(first, Counting()(texts), atol=1e-3)


def test_vectors_of_another_model_are_not_taken(tmp_path: Path, embed: Counting) -> None:
    VectorCache(tmp_path, "model", 8).through(["one"], embed)
    VectorCache(tmp_path, "other", 8).through(["one"], embed)
    assert embed.asked == ["one", "one"]


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path, embed: Counting) -> None:
    cache = VectorCache(tmp_path, "model", 8, most_rows=3)
    cache.through(["1", "2", "3", "4", "5"], embed)
    embed.asked.clear()
    cache.through(["3", "4", "5"], embed)
    assert embed.asked == []
    cache.through(["1"], embed)
    assert embed.asked == ["1"]


@pytest.mark.parametrize("damage", [b"no database" * 100, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_begins_anew(tmp_path: Path, embed: Counting, damage: bytes) -> None:
    cache = VectorCache(tmp_path, "model", 8)
    (tmp_path / "vectors.sqlite").write_bytes(damage)
    assert np.array_equal(cache.through(["one"], embed), Counting()(["one"]))
    cache.through(["one"], embed)
    embed.asked.clear()
    cache.through(["one"], embed)
    assert embed.asked == []


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path, embed: Counting) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = VectorCache(tmp_path / "file", "model", 8)
    assert np.array_equal(cache.through(["one"], embed), Counting()(["one"]))


def test_no_texts_give_no_vectors(tmp_path: Path, embed: Counting) -> None:
    assert VectorCache(tmp_path, "model", 8).through([], embed).shape == (0, 8)


def test_nothing_is_kept_unless_asked_for(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    plain = LocalEmbeddings(str(tiny_encoder_folder), home=tmp_path).embed_documents(["fox", "dog"])
    assert not (tmp_path / "cache").exists()
    kept = LocalEmbeddings(str(tiny_encoder_folder), home=tmp_path, cache=True)
    assert kept.embed_documents(["fox", "dog"]) == plain
    kept._documents = None  # type: ignore[method-assign, assignment]
    assert np.allclose(kept.embed_documents(["dog", "fox"]), plain[::-1], atol=1e-3)
