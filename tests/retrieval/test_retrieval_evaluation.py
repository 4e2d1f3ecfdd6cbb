"""Ranking metrics against values worked out by hand and against a slow plain definition."""

from __future__ import annotations

import math
import random

import pytest

from retrieval.evaluation import evaluate_retrieval, hit_at, ndcg_at, recall_at, reciprocal_rank_at


def test_metrics_by_hand() -> None:
    ranked, relevant = ["a", "b", "c", "d"], {"b": 2.0, "d": 1.0, "z": 3.0, "c": 0.0}
    gained = 2 / math.log2(3) + 1 / math.log2(5)
    ideal = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at(ranked, relevant, 10) == pytest.approx(gained / ideal)
    assert ndcg_at(ranked, relevant, 2) == pytest.approx((2 / math.log2(3)) / (3 + 2 / math.log2(3)))
    assert recall_at(ranked, relevant, 10) == pytest.approx(2 / 3)
    assert recall_at(ranked, relevant, 3) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(ranked, relevant, 10) == 0.5
    assert reciprocal_rank_at(ranked, relevant, 1) == 0.0
    assert (hit_at(ranked, relevant, 1), hit_at(ranked, relevant, 2)) == (0.0, 1.0)


def test_a_perfect_ranking_scores_one_and_an_empty_one_zero() -> None:
    relevant = {"a": 3.0, "b": 2.0, "c": 1.0}
    for metric in (ndcg_at, recall_at, reciprocal_rank_at, hit_at):
        assert metric(["a", "b", "c"], relevant, 10) == pytest.approx(1.0)
        assert metric([], relevant, 10) == 0.0
        assert metric(["a"], {}, 10) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_against_the_plain_definition(seed: int) -> None:
    chance = random.Random(seed)
    names = [str(number) for number in range(30)]
    relevant = {name: float(chance.randrange(4)) for name in chance.sample(names, 8)}
    ranked = chance.sample(names, 20)
    dcg = sum(relevant.get(name, 0) / math.log2(place + 2) for place, name in enumerate(ranked) if place < 10)
    ideal = sorted(relevant.values(), reverse=True)[:10]
    best = sum(value / math.log2(place + 2) for place, value in enumerate(ideal))
    assert ndcg_at(ranked, relevant, 10) == pytest.approx(dcg / best if best else 0)


def test_means_are_over_the_queries_that_have_an_answer() -> None:
    answers = {"first": ["x", "a", "a"], "second": ["b"], "third": ["c"]}
    scores = evaluate_retrieval(
        lambda text: answers[text],
        {"1": "first", "2": "second", "3": "third"},
        {"1": {"a": 1}, "2": {"b": 1}, "3": {"c": 0}},
    )
    assert scores["n"] == 2
    assert scores["mrr@10"] == pytest.approx(0.75)
    assert scores["recall@10"] == scores["recall@100"] == scores["hit@10"] == 1.0
    assert scores["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1) / 2)
    assert scores["ms_per_query"] >= 0


def test_no_queries_at_all() -> None:
    assert evaluate_retrieval(lambda text: [], {}, {})["n"] == 0
