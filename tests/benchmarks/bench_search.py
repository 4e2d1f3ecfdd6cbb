"""Opening a large library and searching it: milliseconds of the whole and of each part, memory, and what is missed.

CPU time is what this process used; on a busy machine it says more than the time on the clock. The library is made by
`bulk`, queries are real questions, embedded by the real model. Opening is measured in a fresh process whose embedding
model is loaded, from the empty library object to the first answer. Recall is the share of the ten nearest vectors of
all that the index finds.

Run `python -m tests.benchmarks.bench_search [--chunks N] [--library FOLDER] [--home FOLDER]`. A folder keeps the
library for the next run: 100,000 chunks take two minutes to make and one to measure, 1,000,000 (3.2 GB) six and two.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from models import data_home
from models.embeddings import LocalEmbeddings
from retrieval import Library
from tests.benchmarks.bulk import BulkEmbeddings, fill, rows

TOP = 10
Vectors = NDArray[np.float32]


def questions(count: int) -> list[str]:
    """Real questions, the same each time."""
    return random.Random(1).sample([paragraph["question"] for paragraph in rows("squad11_dev")], count)


def resident_mb() -> float:
    """Memory of this process that is in RAM, in megabytes; what it only maps from files is counted too."""
    return float(psutil.Process().memory_info().rss / 1e6)


def open_once(folder: Path, home: Path) -> None:
    """What the fresh process does: prints milliseconds and megabytes of opening and the first search."""
    model = LocalEmbeddings(home=home)
    model.embed_query("warm")
    held, began, used = resident_mb(), time.perf_counter(), time.process_time()
    with Library.open(folder, BulkEmbeddings(model)) as library:
        library.search(questions(1)[0])
        clock, cpu = time.perf_counter() - began, time.process_time() - used
        print(f"{1000 * clock:.0f} {1000 * cpu:.0f} {held:.0f} {resident_mb():.0f}")


def show_opening(folder: Path, home: Path, times: int = 5) -> None:
    """Opens the library in fresh processes and prints the medians."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_search", "--open", str(folder), "--home", str(home)]
    done = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(times)]
    clock, cpu, before, after = np.median([[float(part) for part in line.split()] for line in done], axis=0)
    print(f"opening and the first search: {clock:.0f} ms ({cpu:.0f} ms of CPU)")
    print(f"memory: {after:.0f} MB, of which {before:.0f} MB before the library was opened\n")


def show(name: str, work: Callable[[str], object], queries: Sequence[str]) -> None:
    """Runs each query and prints one line of the table."""
    clock, cpu = [], []
    for query in queries:
        began, used = time.perf_counter(), time.process_time()
        work(query)
        clock.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.process_time() - used))
    high = sorted(clock)[int(0.95 * len(clock))]
    print(f"| {name} | {statistics.median(clock):.1f} | {high:.1f} | {statistics.median(cpu):.1f} |", flush=True)


def recall(library: Library, dense: Any, vectors: Sequence[Vectors]) -> float:
    """Share of each query's TOP nearest of all vectors that the index finds."""
    queries, scope = np.array(vectors), library.collections()
    best, ids = np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
    store: Any = library._store
    for first in range(1, store.chunk_count() + 1, 50_000):
        some, block = store.chunk_vectors(first, first + 49_999)
        best = np.hstack([best, queries @ block.T.astype(np.float32)])
        ids = np.hstack([ids, np.broadcast_to(some, (len(queries), len(some)))])
        kept = np.argpartition(-best, TOP, axis=1)[:, :TOP]
        best, ids = np.take_along_axis(best, kept, 1), np.take_along_axis(ids, kept, 1)
    found = [{chunk for chunk, _ in dense.search(vector, 100, scope)[:TOP]} for vector in vectors]
    return statistics.fmean(len(hits & set(true.tolist())) / TOP for hits, true in zip(found, ids, strict=True))


def measure(library: Library, model: LocalEmbeddings, asked: Sequence[str]) -> None:
    """The table of the parts, and the recall."""
    for query in asked[:20]:
        library.search(query)
    queries, scope = asked[20:], library.collections()
    caches: Any = library._engine._finder
    dense, words = caches._vectors(), caches._sparse
    vectors = {query: np.array(model.embed_query(query), np.float32) for query in queries}
    half = {"document_id": {"$gt": "8"}}
    print("| | median ms | 95 % below, ms | CPU, median ms |\n|---|---|---|---|")
    show("hybrid search", library.search, queries)
    show("dense alone", lambda query: library.search(query, mode="dense"), queries)
    show("- embedding the query", model.embed_query, queries)
    show("- nearest vectors", lambda query: dense.search(vectors[query], 100, scope), queries)
    show("- words", lambda query: words.search(query, 100, scope, True), queries)
    show("hybrid in one document", lambda query: library.search(query, where={"document": "document 7"}), queries[:50])
    show("hybrid in half of the documents", lambda query: library.search(query, where=half), queries[:50])
    print(f"\nof the {TOP} nearest vectors found: {recall(library, dense, list(vectors.values())):.4f}")


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """The folder that was named, else one that goes away."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as temporary:
        yield Path(temporary)


def main() -> None:
    """Fill, open, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--library", type=Path, help="kept, and used again where it is filled")
    parser.add_argument("--home", type=Path)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    home = data_home(options.home)
    if options.open is not None:
        open_once(options.open, home)
        return
    model = LocalEmbeddings(home=home)
    with place(options.library) as folder:
        held = fill(folder, options.chunks, model)
        with Library.open(folder, BulkEmbeddings(model)) as library:
            began = time.perf_counter()
            library._engine.warm()
            print(f"{held} chunks; indexes brought up to date in {time.perf_counter() - began:.1f} s")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"{size / 1e6:.0f} MB on disk")
        show_opening(folder, home)
        with Library.open(folder, BulkEmbeddings(model)) as library:
            measure(library, model, questions(options.queries + 20))


if __name__ == "__main__":
    main()
