"""The parity check: figures a person can compute, and a refusal with the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.engines.parity import ParityBounds, ParityFailed, ParityReport, check_parity, probe_prompts


def engine(shares: Sequence[float]) -> object:
    """Logits of a model that gives every next token these probabilities."""
    return lambda ids: np.tile(np.log(np.array(shares, np.float32)), (len(ids), 1))


def test_an_engine_agrees_with_itself() -> None:
    one = engine([0.5, 0.3, 0.2])
    report = check_parity(one, one, lambda prompt: [0, 0], [[0, 1, 2], [2]])
    assert report.prompts == 2
    assert report.tokens == 4 + 2
    assert report.mean_difference == 0
    assert report.spread == 0
    assert report.agreement == report.answers_agreement == 1


def test_figures_are_what_a_person_computes() -> None:
    bounds = ParityBounds(mean_difference=9, spread=9, agreement=0)
    report = check_parity(engine([0.5, 0.3, 0.2]), engine([0.2, 0.3, 0.5]), lambda prompt: [2], [[0, 1, 0]], bounds)
    # the ids after the first are 1, 0, 2
    assert report.reference_log_likelihood == pytest.approx((math.log(0.3) + math.log(0.5) + math.log(0.2)) / 3)
    assert report.candidate_log_likelihood == pytest.approx((math.log(0.3) + math.log(0.2) + math.log(0.5)) / 3)
    assert report.spread == pytest.approx(2 * math.log(2.5) / 3)
    assert report.agreement == 0
    assert report.answers_agreement == 0


def test_a_difference_is_refused_with_its_numbers() -> None:
    with pytest.raises(ParityFailed) as caught:
        check_parity(engine([0.6, 0.3, 0.1]), engine([0.5, 0.4, 0.1]), lambda prompt: [0], [[0, 0, 0]])
    assert caught.value.code == "parity_failed"
    assert caught.value.report is not None
    assert caught.value.report.mean_difference == pytest.approx(math.log(0.5 / 0.6), abs=1e-5)
    assert "0.182 where at most 0.05 was expected" in str(caught.value)


def test_agreement_counts_answers_apart() -> None:
    def turning(ids: Sequence[int]) -> np.ndarray:
        logits = np.tile(np.array([1.0, 0.0], np.float32), (len(ids), 1))
        logits[-3:, :] = [0.0, 0.1]  # prefers the other token at the end only
        return logits

    bounds = ParityBounds(mean_difference=9, spread=9, agreement=0)
    report = check_parity(engine([0.7, 0.3]), turning, lambda prompt: [0, 0], [[0] * 8], bounds)
    assert report.agreement == pytest.approx(7 / 9)
    assert report.answers_agreement == 0


def test_another_vocabulary_is_refused() -> None:
    with pytest.raises(ParityFailed, match=r"\(3, 2\) where \(3, 3\) was expected"):
        check_parity(engine([0.5, 0.3, 0.2]), engine([0.5, 0.5]), lambda prompt: [], [[0, 1, 0]])


def test_nan_holds_no_bound() -> None:
    with pytest.raises(ParityFailed):
        check_parity(engine([0.5, 0.5]), engine([math.nan, 0.5]), lambda prompt: [], [[0, 0]])


def test_a_report_is_kept_as_plain_values(tmp_path: Path) -> None:
    report = ParityReport(1, 10, -2.0, -2.01, 0.1, 0.95, 0.9)
    report.save(tmp_path)
    kept = json.loads((tmp_path / "parity.json").read_text())
    assert kept["mean_difference"] == pytest.approx(-0.01)
    assert kept["bounds"]["agreement"] == 0.9


def test_probes_take_the_chat_form_where_there_is_one() -> None:
    from tests.models.conftest import chat_tokenizer

    tokenizer = chat_tokenizer()
    start = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert all(prompt.count(start) >= 2 for prompt in probe_prompts(tokenizer))
    tokenizer.chat_template = None
    assert all(start not in prompt for prompt in probe_prompts(tokenizer))
