"""Milliseconds to rerank 30 passages of about 200 tokens, by torch and by OpenVINO in turn.

The cross-encoder has MiniLM's size and random weights, so nothing is downloaded. Run
`python -m tests.benchmarks.bench_rerank [--rounds N]`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from models.engines.openvino_convert import convert
from models.prepare import prepare_embedded
from models.tasks.reranker import Reranker
from tests.benchmarks.bench_embeddings import chunks
from tests.benchmarks.bench_tasks import save_classifier

PASSAGES = 30
QUESTION = "Who was the first president of the university?"


def main() -> None:
    """Two copies of one model, of which one is converted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    pieces = chunks(2 * PASSAGES)
    passages = [f"{left} {right}"[:1000] for left, right in zip(pieces[::2], pieces[1::2], strict=True)]
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        tokenizer = prepare_embedded(home)["all-minilm-l6-v2"]
        rerankers = {}
        for engine in ("torch", "openvino"):
            folder = save_classifier(home / engine, tokenizer)
            if engine == "openvino":
                convert(folder, home, name="the cross-encoder", form="scores")
            rerankers[engine] = Reranker(str(folder), home=home)
        tokens = [len(rerankers["torch"].load().tokenizer.encode(QUESTION, passage)) for passage in passages]
        times: dict[str, list[float]] = {engine: [] for engine in rerankers}
        for _ in range(options.rounds + 2):
            for engine, reranker in rerankers.items():
                began = time.perf_counter()
                reranker.rerank(QUESTION, passages)
                times[engine].append(1000 * (time.perf_counter() - began))
    print(f"{PASSAGES} passages, {statistics.fmean(tokens):.0f} tokens with the question")
    for engine, found in times.items():
        print(f"{engine}: {statistics.median(found[2:]):.0f} ms at the median, {min(found):.0f} at best")


if __name__ == "__main__":
    main()
