"""The gate before an answer: near passages open it, and among many passages they have to be nearer."""

from __future__ import annotations

import math

import pytest
from langchain_core.documents import Document

from agent.relevance import relevance, signals


def found(*pairs: tuple[float | None, float | None]) -> list[Document]:
    return [Document("x", metadata={"dense_score": cosine, "sparse_coverage": coverage}) for cosine, coverage in pairs]


def test_the_signals_are_those_of_the_best_passages_in_any_order() -> None:
    hits = found((0.2, 0.9), (0.6, 0.1), (0.3, 0.3), (0.1, 0.1), (0.0, None))
    assert signals(hits, 900) == pytest.approx((0.6, 0.9, 1.1 - 0.2, 3.0))
    assert signals(hits[::-1], 900) == signals(hits, 900)
    assert signals(hits[:1], 0) == pytest.approx((0.2, 0.9, 0.35, 2.0))


def test_no_passage_is_about_nothing() -> None:
    assert relevance([], 1000) == 0.0


def test_nearer_is_likelier_and_more_passages_to_choose_from_make_it_less_so() -> None:
    far, near = found((0.3, 0.3)), found((0.6, 0.8))
    assert relevance(far, 1000) < relevance(near, 1000)
    likely = [relevance(near, among) for among in (0, 10, 1000, 100_000)]
    assert likely == sorted(likely, reverse=True)
    assert all(0 < one < 1 and math.isfinite(one) for one in likely)


def test_one_that_stands_out_is_likelier_than_one_of_many_alike() -> None:
    rest = [(0.5, 0.5)] * 3
    alike, outstanding = found((0.5, 0.5), *rest), found((0.5, 0.5), *[(0.1, 0.1)] * 3)
    assert relevance(alike, 1000) < relevance(alike[:1], 1000) < relevance(outstanding, 1000)
