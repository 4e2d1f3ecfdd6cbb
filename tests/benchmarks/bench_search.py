"""Hybrid search over 100,000 chunks with real words and questions: milliseconds of the whole, and of each part.

CPU time is what this process used; on a busy machine it says more than the time on the clock.

Chunks are drawn from the sentences of real articles, so words are as frequent as they are in English; their vectors are
random directions around a few hundred centres, as embedding them would take ten minutes. Queries are embedded by the
real model. Run `python -m tests.benchmarks.bench_search [--chunks N] [--library FOLDER] [--home FOLDER]`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from models import data_home
from models.embeddings import LocalEmbeddings
from retrieval import Library, TextDocument
from tests.benchmarks.first_light import SHARED

CENTRES = 300
SENTENCES_A_DOCUMENT = 240


class DrawnVectors(Embeddings):
    """Random unit vectors for chunks, the real model's for queries."""

    def __init__(self, model: LocalEmbeddings) -> None:
        self._model = model
        self.model = "drawn"
        self.fingerprint, self.dimension, self.max_tokens = "drawn", model.dimension, model.max_tokens
        self._draw = np.random.default_rng(0)
        self._centres = self._draw.standard_normal((CENTRES, self.dimension)).astype(np.float32)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """The real model's tokens."""
        return self._model.token_spans(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors near a few hundred centres."""
        near = self._centres[self._draw.integers(CENTRES, size=len(texts))]
        rows = near + self._draw.standard_normal(near.shape).astype(np.float32)
        return list(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    def embed_query(self, text: str) -> list[float]:
        """The real model's vector."""
        return self._model.embed_query(text)


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a shared data set."""
    with gzip.open(SHARED / name / "share.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def documents() -> Iterator[TextDocument]:
    """Documents without end, of sentences drawn from the SQuAD articles."""
    sentences = [part for row in rows("squad_articles") for part in re.split(r"(?<=[.!?])\s+", row["text"])]
    draw = random.Random(0)
    for number in range(10**9):
        yield TextDocument(f"document {number}", " ".join(draw.choices(sentences, k=SENTENCES_A_DOCUMENT)))


def filled(library: Library, chunks: int) -> int:
    """Brings the library to at least so many chunks; gives how many it holds."""
    held, supply = sum(record.chunks for record in library.documents()), documents()
    while held < chunks:
        held += library.add_texts([next(supply) for _ in range(200)]).chunks
        print(f"\r{held} chunks", end="", flush=True)
    print()
    return held


def show(name: str, work: Callable[[str], object], queries: list[str]) -> None:
    """Runs each query and prints one line of the table."""
    clock, cpu = [], []
    for query in queries:
        began, used = time.perf_counter(), time.process_time()
        work(query)
        clock.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - used))
    high = sorted(clock)[int(0.95 * len(clock))]
    print(f"| {name} | {statistics.median(clock):.1f} | {high:.1f} | {statistics.median(cpu):.1f} |", flush=True)


def main() -> None:
    """Fill, warm up, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--library", type=Path, help="kept, and used again where it is filled")
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    questions = [paragraph["question"] for paragraph in rows("squad11_dev")]
    asked = random.Random(1).sample(questions, options.queries + 20)
    model = LocalEmbeddings(home=data_home(options.home))
    with (
        tempfile.TemporaryDirectory(prefix="hearth-bench-") as temporary,
        Library.open(options.library or Path(temporary), DrawnVectors(model)) as library,
    ):
        held = filled(library, options.chunks)
        for query in asked[:20]:
            library.search(query)
        queries = asked[20:]
        engine, scope = library._engine, library.collections()
        caches = engine._finder
        dense = caches._vectors()
        vectors = {query: np.array(model.embed_query(query), np.float32) for query in queries}
        print(f"{held} chunks, {len(queries)} questions\n")
        print("| | median ms | 95 % below, ms | CPU, median ms |\n|---|---|---|---|")
        show("hybrid search", library.search, queries)
        show("dense alone", lambda query: library.search(query, mode="dense"), queries)
        show("- embedding the query", model.embed_query, queries)
        show("- nearest vectors", lambda query: dense.search(vectors[query], 100, scope), queries)
        show("- words", lambda query: caches._sparse.search(query, 100, scope, True), queries)


if __name__ == "__main__":
    main()
