"""Chunks embedded per second, ours beside its peers on the same chunks, in turn so that a busy moment meets all alike.

Run `python -m tests.benchmarks.bench_embeddings [--home FOLDER] [--rounds N]`; it prints one table and asserts nothing.
`others` is how many CPU cores other processes kept busy meanwhile; txtai is in the extra `bench`.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models import data_home
from models.catalog import find
from models.device import choose_device
from models.embeddings import LocalEmbeddings
from models.engines.openvino_convert import convert
from models.prepare import folder_of
from tests.benchmarks.bench_generation import busy_seconds
from tests.benchmarks.first_light import SHARED

CHUNK_CHARACTERS = 900
Vectors = npt.NDArray[np.float32]


@dataclass
class Contender:
    """One way to embed: `work` does what a person would to index the texts, `vectors` and `query` give the numbers."""

    name: str
    work: Callable[[list[str]], object]
    vectors: Callable[[list[str]], Any]
    query: Callable[[str], object]
    rates: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    query_ms: list[float] = field(default_factory=list)


def chunks(count: int) -> list[str]:
    """Pieces of the SQuAD articles of at most CHUNK_CHARACTERS, cut after sentences."""
    found: list[str] = []
    with gzip.open(SHARED / "squad_articles" / "share.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            found += pieces(json.loads(line)["text"])
            if len(found) >= count:
                return found[:count]
    return found


def pieces(text: str) -> Iterator[str]:
    """One text's pieces."""
    start = 0
    while start < len(text):
        end = start + CHUNK_CHARACTERS
        if end < len(text):
            end = max(text.rfind(". ", start, end), text.rfind(" ", start, start + CHUNK_CHARACTERS // 3)) + 1
        yield text[start:end].strip()
        start = end


def peers(folder: Path) -> Iterator[Contender]:
    """What else a Python user would take, with its defaults."""
    import faiss
    import sentence_transformers
    import torch
    from langchain_huggingface import HuggingFaceEmbeddings

    plain = HuggingFaceEmbeddings(model_name=str(folder))

    def with_faiss(texts: list[str]) -> None:
        rows = np.asarray(plain.embed_documents(texts), np.float32)
        faiss.IndexFlatL2(rows.shape[1]).add(rows)

    yield Contender("HuggingFaceEmbeddings + FAISS", with_faiss, plain.embed_documents, plain.embed_query)
    if importlib.util.find_spec("txtai") is None:
        print("txtai: left out, it is not installed (pip install 'hearth[bench]')")
    else:
        import txtai

        index = txtai.Embeddings(path=str(folder))
        yield Contender("txtai", index.index, index.batchtransform, index.transform)
    fast = sentence_transformers.SentenceTransformer(str(folder), model_kwargs={"dtype": torch.bfloat16})
    yield Contender("sentence-transformers, bf16", fast.encode, fast.encode, fast.encode)


def ours(home: Path) -> Iterator[Contender]:
    """Both engines of ours."""
    for engine in ("torch", "openvino"):
        model = LocalEmbeddings(home=home, engine=engine)  # type: ignore[arg-type]
        yield Contender(f"Hearth, {engine}", model.embed_documents, model.embed_documents, model.embed_query)


def measure(contender: Contender, texts: list[str], round_number: int) -> None:
    """One round: all chunks, then twenty queries one by one."""
    busy, own, began = busy_seconds(), sum(os.times()[:2]), time.perf_counter()
    contender.work(texts)
    seconds = time.perf_counter() - began
    contender.others.append(max(0.0, (busy_seconds() - busy - (sum(os.times()[:2]) - own)) / seconds))
    contender.rates.append(len(texts) / seconds)
    for number in range(20):
        began = time.perf_counter()
        contender.query(f"Who built harbour number {number} in the year {1800 + round_number}?")
        contender.query_ms.append(1000 * (time.perf_counter() - began))


def least_cosine(vectors: Any, reference: Vectors) -> float:
    """The smallest cosine between rows of the same number."""
    rows = np.asarray(vectors, np.float32)
    products = (rows * reference).sum(axis=1)
    return float((products / np.linalg.norm(rows, axis=1) / np.linalg.norm(reference, axis=1)).min())


def main() -> None:
    """Warm up, measure in rounds, print medians; the ratio is the median of the rounds' own ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=806)
    options = parser.parse_args()
    home = data_home(options.home)
    entry = find(None, "embed")
    folder = folder_of(entry, home)
    convert(folder, home, name=entry.name, form="vectors")
    import torch

    torch.set_num_threads(choose_device().threads)
    texts = chunks(options.chunks)
    contenders = [*peers(folder), *ours(home)]
    reference = np.asarray(contenders[0].vectors(texts), np.float32)
    cosines = [least_cosine(contender.vectors(texts), reference) for contender in contenders]
    for round_number in range(options.rounds):
        for contender in contenders:
            measure(contender, texts, round_number)
    print(f"{len(texts)} chunks of {statistics.fmean(map(len, texts)):.0f} characters, {options.rounds} rounds")
    print(f"{'':<32}{'chunks/s':>10}{'best':>8}{'times':>8}{'least cosine':>14}{'query ms':>10}{'others':>8}")
    for contender, cosine in zip(contenders, cosines, strict=True):
        times = statistics.median(rate / base for rate, base in zip(contender.rates, contenders[0].rates, strict=True))
        figures = (statistics.median(contender.rates), max(contender.rates), times, cosine)
        line = "{:>10.1f}{:>8.1f}{:>8.2f}{:>14.5f}".format(*figures)
        waits, busy = statistics.median(contender.query_ms), statistics.median(contender.others)
        print(f"{contender.name:<32}{line}{waits:>10.2f}{busy:>8.2f}")


if __name__ == "__main__":
    main()
