"""Span answers: our decoding against an exhaustive search, windows against one big window, and no answer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering

from models.errors import PromptTooLong
from models.tasks.errors import EmptyText
from models.tasks.extractor import Extractor
from models.tasks.spans import Scores, best_spans
from tests.models.tiny_tasks import long_text, save_bert


def brute_force(windows: list[Scores], longest: int) -> tuple[dict[tuple[int, int], float], float]:
    """Every allowed span's probability and the no-answer one, by plain loops over the definition."""
    best: dict[tuple[int, int], float] = {}
    for window in windows:
        for first in range(len(window.allowed)):
            for last in range(first, min(first + longest, len(window.allowed))):
                if window.allowed[first] and window.allowed[last]:
                    key = (window.offsets[first][0], window.offsets[last][1])
                    score = float(window.start[first] + window.end[last])
                    best[key] = max(best.get(key, -math.inf), score)
    null = min(window.null for window in windows)
    total = sum(math.exp(score) for score in best.values()) + math.exp(null)
    return {key: math.exp(score) / total for key, score in best.items()}, math.exp(null) / total


def random_windows(seed: int) -> list[Scores]:
    """Overlapping windows over the tokens of one text, question tokens first."""
    random = np.random.default_rng(seed)
    tokens = [(4 * index, 4 * index + 3) for index in range(20)]
    windows = []
    for start in (0, 5, 9):
        own = tokens[start : start + 11]
        size = len(own) + 4
        windows.append(
            Scores(
                random.normal(0, 3, size),
                random.normal(0, 3, size),
                [False] * 3 + [True] * len(own) + [False],
                [(0, 0), (0, 2), (0, 0), *own, (0, 0)],
                float(random.normal(2, 3)),
            )
        )
    return windows


@pytest.mark.parametrize("seed", range(20))
def test_decoding_equals_the_exhaustive_search(seed: int) -> None:
    windows = random_windows(seed)
    expected, null = brute_force(windows, longest=5)
    found, found_null = best_spans(windows, top_k=4, longest=5)
    assert found_null == pytest.approx(null)
    order = sorted(expected.items(), key=lambda item: -item[1])
    chosen: list[tuple[tuple[int, int], float]] = []
    for key, score in order:
        if len(chosen) < 4 and all(key[1] <= other[0] or key[0] >= other[1] for other, _ in chosen):
            chosen.append((key, score))
    assert [(span.start, span.end) for span in found] == [key for key, _ in chosen]
    assert [span.score for span in found] == pytest.approx([score for _, score in chosen])


def test_no_allowed_token_is_no_answer() -> None:
    window = Scores(np.zeros(3), np.zeros(3), [False] * 3, [(0, 0)] * 3, 0.0)
    assert best_spans([window]) == ([], 1.0)


@pytest.fixture
def extractor(tmp_path: Path, float32: None) -> Extractor:
    """A reader without layers: a token's scores depend on it alone, whatever window it stands in."""
    folder = save_bert(tmp_path / "reader", BertForQuestionAnswering, layers=0, window=24)
    return Extractor(str(folder), home=tmp_path)


def test_windows_lose_nothing(extractor: Extractor, tmp_path: Path) -> None:
    wide = save_bert(tmp_path / "wide", BertForQuestionAnswering, layers=0, window=400, seed=0)
    one_window = Extractor(str(wide), home=tmp_path)
    # the same weights, but for the number of positions, which are zero in both
    state = extractor.load().model.state_dict()
    target = one_window.load().model.state_dict()
    for key, value in state.items():
        if target[key].shape == value.shape:
            target[key].copy_(value)
    texts = [long_text(120, seed) for seed in range(12)]
    options = {"can_abstain": False, "max_answer_tokens": 6}  # no more than neighbouring windows share
    asked = ["who wrote it ?"] * len(texts)
    for text, cut, whole in zip(
        texts, extractor.many(asked, texts, **options), one_window.many(asked, texts, **options), strict=True
    ):
        assert (cut.start, cut.end) == (whole.start, whole.end)
        assert cut.answer == text[cut.start : cut.end]
        assert cut.score == pytest.approx(whole.score, rel=1e-4)


def test_the_answer_stands_where_the_offsets_say(extractor: Extractor) -> None:
    texts = [long_text(words, words) for words in (3, 10, 80)]
    for text, result in zip(texts, extractor.many(["where ?"] * 3, texts, can_abstain=False), strict=True):
        assert result.start is not None
        assert text[result.start : result.end] == result.answer != ""
        assert 0 < result.score <= 1


def test_a_batch_equals_one_by_one(extractor: Extractor) -> None:
    texts = [long_text(words, words) for words in (2, 9, 40, 15)]
    questions = ["who ?", "where did she live ?", "a machine ?", "which notes ?"]
    for question, text, together in zip(questions, texts, extractor.many(questions, texts), strict=True):
        alone = extractor(question, text)
        assert (together.answer, together.start) == (alone.answer, alone.start)
        assert together.score == pytest.approx(alone.score, abs=1e-6)


def test_no_answer_wins_only_where_it_may(extractor: Extractor) -> None:
    head = extractor.load().model
    with torch.no_grad():  # the head is turned towards [CLS], token 2
        vector = head.bert.embeddings(input_ids=torch.tensor([[2]]))[0, 0]
        head.qa_outputs.weight += 100 * vector / vector.norm() ** 2
    result = extractor("who ?", "the river runs past old towns")
    assert (result.answer, result.start, result.end) == ("", None, None)
    assert result.no_answer_score is not None
    assert result.no_answer_score > 0.5
    assert result.score == result.no_answer_score
    forced = extractor("who ?", "the river runs past old towns", can_abstain=False)
    assert forced.answer


def test_a_question_too_long_for_the_window_is_refused(extractor: Extractor) -> None:
    with pytest.raises(PromptTooLong):
        extractor(long_text(40, 1), "the river")


def test_an_empty_question_is_refused(extractor: Extractor) -> None:
    with pytest.raises(EmptyText, match="question"):
        extractor(" ", "the river")
