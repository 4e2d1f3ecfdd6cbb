"""Task metrics against values computed by hand, sacrebleu's own command and scikit-learn's definition."""

from __future__ import annotations

import itertools

import pytest

from models.task_metrics import (
    classification_scores,
    label_set_scores,
    number_scores,
    rouge,
    span_scores,
    summary_scores,
    translation_scores,
)


def test_accuracy_and_macro_f1_by_hand() -> None:
    # a: precision 1/2, recall 1 -> 2/3; b: 1, 1/2 -> 2/3; c: never predicted -> 0
    found = classification_scores(["a", "b", "a", "b"], ["a", "b", "b", "c"])
    a = 2 * (1 / 2) * 1 / (1 / 2 + 1)
    b = 2 * (1 / 2) * (1 / 2) / (1 / 2 + 1 / 2)
    assert found == {"accuracy": pytest.approx(0.5), "macro_f1": pytest.approx((a + b + 0) / 3)}


def test_label_sets_by_hand() -> None:
    # a: right once, said twice, there once; b: right once, said once, there twice; c: never right
    found = label_set_scores([{"a", "b"}, {"a"}, set()], [["a", "b"], ["b"], ["c"]])
    assert found["micro_f1"] == pytest.approx(2 * 2 / (3 + 4))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["exact"] == pytest.approx(1 / 3)


def test_numbers_by_hand() -> None:
    found = number_scores([1.0, 2.0, 4.0], [10.0, 20.0, 30.0])
    assert found["pearson"] == pytest.approx(3 / (28 / 6) ** 0.5 / 2**0.5, rel=1e-6)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["mse"] == pytest.approx((81 + 324 + 676) / 3)
    assert number_scores([3.0, 3.0], [1.0, 2.0])["pearson"] == 0.0  # what never changes tells nothing


def test_spans_by_hand() -> None:
    said = [[(0, 3, "PER"), (4, 6, "LOC")], [], [(0, 2, "PER")]]
    there = [[(0, 3, "PER"), (4, 6, "ORG")], [(7, 9, "LOC")], [(0, 3, "PER")]]
    found = span_scores(said, there)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == pytest.approx(1 / 4)
    assert found["f1"] == pytest.approx(2 / 7)
    assert found["f1_PER"] == pytest.approx(2 / 4)
    assert found["f1_LOC"] == 0.0
    assert span_scores([[]], [[]])["f1"] == 1.0


def test_rouge_by_hand() -> None:
    found = rouge("The cat sat on the mat.", "the cat is on the mat")
    assert found["rouge1"] == pytest.approx(2 * 5 / 12)  # the, the, cat, on, mat
    assert found["rouge2"] == pytest.approx(2 * 3 / 10)  # the cat, on the, the mat
    assert found["rougeL"] == pytest.approx(2 * 5 / 12)  # the cat on the mat


def test_rouge_l_keeps_the_order() -> None:
    assert rouge("b a", "a b") == {"rouge1": 1.0, "rouge2": 0.0, "rougeL": 0.5}


@pytest.mark.parametrize(("predicted", "reference"), [("", "a"), ("a", ""), ("...", "a"), ("a", "b")])
def test_rouge_of_nothing_shared_is_zero(predicted: str, reference: str) -> None:
    assert set(rouge(predicted, reference).values()) == {0.0}


def test_rouge_l_equals_the_brute_force() -> None:
    def brute(left: str, right: str) -> int:
        subsequences = {c for n in range(len(left) + 1) for c in itertools.combinations(left, n)}
        return max(len(c) for c in subsequences if c in set(itertools.combinations(right, len(c))))

    for left, right in [("abcab", "acbba"), ("aabb", "abab"), ("abc", "cba")]:
        expected = 2 * brute(left, right) / (len(left) + len(right))
        assert rouge(" ".join(left), " ".join(right))["rougeL"] == pytest.approx(expected)


def test_the_best_reference_counts() -> None:
    found = summary_scores(["a b c", "x"], [["d", "a b c"], ["x y z"]])
    assert found["rouge1"] == pytest.approx((1 + 2 * 1 / 4) / 2)
    assert found["rouge2"] == pytest.approx((1 + 0) / 2)


def test_bleu_and_chrf_carry_their_signature() -> None:
    same = translation_scores(["the cat sat on the mat"], [["the cat sat on the mat"]])
    assert same["bleu"] == pytest.approx(1)
    assert same["chrf"] == pytest.approx(1)
    assert "tok:13a" in str(same["signature"])
    assert "case:mixed" in str(same["signature"])


def test_lowercase_is_said() -> None:
    found = translation_scores(["THE CAT SAT ON THE MAT"], [["the cat sat on the mat"]], lowercase=True)
    assert found["bleu"] == pytest.approx(1)
    assert "case:lc" in str(found["signature"])


def test_rows_may_have_different_numbers_of_references() -> None:
    predicted = ["the cat sat on the mat", "a dog ran away today"]
    found = translation_scores(predicted, [["no match here at all", predicted[0]], [predicted[1]]])
    assert found["bleu"] == pytest.approx(1)


def test_bleu_by_hand() -> None:
    # unigrams 4/5, bigrams 3/4, trigrams 2/3, 4-grams 1/2, same length: (0.2)^(1/4)
    found = translation_scores(["a b c d x"], [["a b c d e"]])
    assert found["bleu"] == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


@pytest.mark.parametrize("score", [translation_scores, summary_scores])
def test_a_row_without_a_reference_is_an_error(score: object) -> None:
    assert callable(score)
    with pytest.raises(ValueError, match="reference"):
        score(["a"], [[]])


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 predictions"):
        classification_scores([], [])
