"""A large library made quickly: real sentences drawn into passages, and the means of their real vectors.

Every document draws from one article, so words are as frequent as in English and vectors lie in groups as real ones do;
only the sentences are embedded, which takes two minutes at most whatever the library's size.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from models.embeddings import LocalEmbeddings
from retrieval.embedder import Identity
from retrieval.splitters import Chunk
from retrieval.store import Store
from retrieval.writer import NewDocument
from tests.benchmarks.first_light import SHARED

CHUNKS_A_DOCUMENT = 30
CHUNK_CHARACTERS = 800
DOCUMENTS_AT_ONCE = 500
SENTENCES = 24_000
NOISE = 0.02
"""Standard deviation of what is added to each number of a unit vector, so that no two passages are the same."""


class BulkEmbeddings(Embeddings):
    """The model of a bulk library: the real one for queries, under a name of its own, as passages are only drawn."""

    def __init__(self, model: LocalEmbeddings) -> None:
        self._model = model
        self.model = self.fingerprint = "bulk"
        self.dimension, self.max_tokens = model.dimension, model.max_tokens

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The real model's tokens."""
        return self._model.token_spans(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The real model's vectors."""
        return self._model.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The real model's vector."""
        return self._model.embed_query(text)


@dataclass(frozen=True)
class Article:
    """An article's sentences with their unit vectors (n, dimension)."""

    sentences: list[str]
    vectors: NDArray[np.float32]


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a shared data set."""
    with gzip.open(SHARED / name / "share.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def articles(model: LocalEmbeddings) -> list[Article]:
    """The SQuAD articles as sentences with vectors; from each the first few, SENTENCES in all."""
    texts = [
        [part for part in re.split(r"(?<=[.!?])\s+", row["text"]) if len(part) > 20] for row in rows("squad_articles")
    ]
    each = SENTENCES // len(texts)
    found = []
    for sentences in texts:
        kept = sentences[:each]
        found.append(Article(kept, np.array(model.embed_documents(kept), np.float32)))
        print(f"\rsentences of {len(found)} of {len(texts)} articles embedded", end="", flush=True)
    print()
    return found


def drawn(number: int, article: Article, draw: random.Random) -> tuple[NewDocument, NDArray[np.float32]]:
    """A document of passages of an article's sentences, and its passages' vectors."""
    noise = np.random.default_rng(number)
    chunks: list[Chunk] = []
    vectors = []
    at = 0
    for _ in range(CHUNKS_A_DOCUMENT):
        picked: list[int] = []
        length = 0
        while length < CHUNK_CHARACTERS:
            picked.append(draw.randrange(len(article.sentences)))
            length += len(article.sentences[picked[-1]]) + 1
        text = " ".join(article.sentences[one] for one in picked)
        chunks.append(Chunk(at, at + len(text), text))
        at += len(text) + 1
        mean = article.vectors[picked].mean(axis=0)
        vectors.append(mean / np.linalg.norm(mean))
    rough = np.array(vectors) + NOISE * noise.standard_normal((len(chunks), article.vectors.shape[1]))
    whole = " ".join(chunk.text for chunk in chunks)
    name = f"document {number}"
    new = NewDocument("default", name, name, None, f"{number:064x}", len(whole), name, text=whole, chunks=chunks)
    return new, (rough / np.linalg.norm(rough, axis=1, keepdims=True)).astype(np.float32)


def fill(folder: Path, chunks: int, model: LocalEmbeddings) -> int:
    """Bring the library in a folder to at least so many chunks, straight into its file; gives how many it holds."""
    store = Store(folder)
    held = store.chunk_count()
    if held >= chunks:
        store.close()
        return held
    supply, began, before = articles(model), time.monotonic(), held
    number, draw = held // CHUNKS_A_DOCUMENT, random.Random(held)
    while held < chunks:
        count = min(DOCUMENTS_AT_ONCE, -(-(chunks - held) // CHUNKS_A_DOCUMENT))
        batch = [drawn(number + at, supply[(number + at) % len(supply)], draw) for at in range(count)]
        with store.writing() as writer:
            writer.put(batch, Identity("bulk", model.dimension, "bulk"))
        number += len(batch)
        held += len(batch) * CHUNKS_A_DOCUMENT
        rate = (held - before) / (time.monotonic() - began)
        print(f"\r{held} chunks, {rate:.0f} in a second", end="", flush=True)
    print()
    store.close()
    return held
