"""Ranking quality over a file of questions: nDCG, recall, reciprocal rank and hit rate.

Relevance may be graded; only documents with relevance above zero count as relevant.
Source of nDCG: Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", 2002 (gain = relevance).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

Relevance = Mapping[str, float]


def ndcg_at(ranked: Sequence[str], relevant: Relevance, k: int) -> float:
    """Gain of the first k, each divided by log2(rank + 1), over the best gain possible; 0 when nothing is relevant."""
    ideal = _gain(sorted(relevant.values(), reverse=True)[:k])
    return _gain([relevant.get(document, 0.0) for document in ranked[:k]]) / ideal if ideal else 0.0


def _gain(relevances: Sequence[float]) -> float:
    return sum(max(value, 0.0) / math.log2(rank + 1) for rank, value in enumerate(relevances, start=1))


def recall_at(ranked: Sequence[str], relevant: Relevance, k: int) -> float:
    """Share of the relevant documents among the first k."""
    wanted = {document for document, value in relevant.items() if value > 0}
    return len(wanted & set(ranked[:k])) / len(wanted) if wanted else 0.0


def reciprocal_rank_at(ranked: Sequence[str], relevant: Relevance, k: int) -> float:
    """One over the rank of the first relevant document among the first k, else 0."""
    return next((1 / rank for rank, name in enumerate(ranked[:k], start=1) if relevant.get(name, 0) > 0), 0.0)


def hit_at(ranked: Sequence[str], relevant: Relevance, k: int) -> float:
    """1 if a relevant document is among the first k, else 0."""
    return float(any(relevant.get(name, 0) > 0 for name in ranked[:k]))


def first_of_each(names: Iterable[str]) -> list[str]:
    """Documents in the order of their best passage: a ranking of passages as one of documents."""
    return list(dict.fromkeys(names))


def evaluate_retrieval(
    search: Callable[[str], Sequence[str]],
    queries: Mapping[str, str],
    qrels: Mapping[str, Relevance],
    k: int = 10,
    deep_k: int = 100,
) -> dict[str, float]:
    """Means over the queries that have a relevant document.

    Args:
        search: query text -> document names, best first; give it at least `deep_k` of them to fill `recall@deep_k`.
        queries: query id -> text.
        qrels: query id -> document name -> relevance.

    Returns:
        `ndcg@k`, `recall@k`, `recall@deep_k`, `mrr@k`, `hit@k`, `n` and `ms_per_query` (median).
    """
    judged = {key: text for key, text in queries.items() if any(value > 0 for value in qrels.get(key, {}).values())}
    rows, milliseconds = [], []
    for key, text in judged.items():
        began = time.perf_counter()
        ranked = first_of_each(search(text))
        milliseconds.append((time.perf_counter() - began) * 1000)
        relevant = qrels[key]
        rows.append(
            (ndcg_at(ranked, relevant, k), recall_at(ranked, relevant, k), recall_at(ranked, relevant, deep_k),
             reciprocal_rank_at(ranked, relevant, k), hit_at(ranked, relevant, k))
        )  # fmt: skip
    names = (f"ndcg@{k}", f"recall@{k}", f"recall@{deep_k}", f"mrr@{k}", f"hit@{k}")
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)] if rows else [0.0] * len(names)
    latency = statistics.median(milliseconds) if milliseconds else 0.0
    return {**dict(zip(names, means, strict=True)), "n": len(rows), "ms_per_query": latency}
