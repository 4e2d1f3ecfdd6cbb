"""Rows per second of the batch form of `classify` beside a plain `transformers.pipeline` loop, on SST-2 sentences.

The classifier has MiniLM's size and random weights (six layers of 384, 22 million numbers), so nothing is downloaded.
Run: `python -m tests.benchmarks.bench_tasks SENTENCES.jsonl [ROWS] [REPEATS]`, rows of `text`, gzipped or not.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.device import choose_device
from models.prepare import prepare_embedded
from models.tasks.batch import read_rows, run_batch
from models.tasks.classifier import TextClassifier


def save_classifier(folder: Path, tokenizer_folder: Path) -> Path:
    """A two-label classifier with MiniLM's own tokenizer and shape, its weights drawn from seed 0."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        num_labels=2,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measure(work: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each repeat."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


def main(data: Path, rows: int = 400, repeats: int = 3) -> dict[str, Any]:
    """Both ways on the same rows in turn, medians of the repeats."""
    import torch
    from transformers import pipeline

    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        folder = save_classifier(home / "classifier", prepare_embedded(home)["all-minilm-l6-v2"])
        texts = [row["text"] for row, _ in zip(read_rows(data), range(rows), strict=False)]
        source = home / "rows.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        classifier = TextClassifier(str(folder), home=home)
        classifier.many(texts[:8])
        peer = pipeline("text-classification", model=str(folder))
        peer(texts[0])
        torch.set_num_threads(choose_device().threads)

        def classify(part: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
            found = classifier.many([row["text"] for row in part])
            return [{"label": one.label, "score": one.score} for one in found]

        theirs: list[float] = []
        own: list[float] = []
        for _ in range(repeats):  # taken in turn, so that a busy moment meets both
            theirs += measure(lambda: [peer(text) for text in texts], 1)
            own += measure(lambda: run_batch(source, home / "out.jsonl", classify), 1)
        agree = [one.label == two["label"] for one, two in zip(classifier.many(texts), peer(texts), strict=True)]
    rates = {
        "pipeline_loop": len(texts) / statistics.median(theirs),
        "hearth_batch": len(texts) / statistics.median(own),
    }
    return {
        "rows": len(texts),
        "repeats": repeats,
        **{name: round(rate, 1) for name, rate in rates.items()},
        "times": round(rates["hearth_batch"] / rates["pipeline_loop"], 2),
        "same_label": round(statistics.fmean(agree), 4),
        "dtype": choose_device().dtype,
        "threads": choose_device().threads,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
