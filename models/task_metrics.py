"""Metrics of classification, numbers, entities, translation and summarization, shared by training and `hearth eval`.

Sources: macro-F1 of scikit-learn; BLEU and chrF of sacrebleu (Post 2018, arXiv:1804.08771); ROUGE (Lin 2004,
aclanthology.org/W04-1013) on lowercased letters and digits, without stemming.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Any

_TOKEN = re.compile(r"\w+", re.UNICODE)


def classification_scores(predicted: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """`{accuracy, macro_f1}`, 0 to 1; the F1 is the plain mean over every label that occurs on either side.

    Raises:
        ValueError: nothing to score, or lists of different lengths.
    """
    from sklearn.metrics import f1_score

    _check(len(predicted), len(expected))
    right = sum(a == b for a, b in zip(predicted, expected, strict=True))
    macro = f1_score(list(expected), list(predicted), average="macro", zero_division=0.0)
    return {"accuracy": right / len(expected), "macro_f1": float(macro)}


def label_set_scores(predicted: Sequence[Collection[str]], expected: Sequence[Collection[str]]) -> dict[str, float]:
    """`{micro_f1, macro_f1, exact}` of sets of labels, 0 to 1.

    Micro counts every label of every row once; macro is the plain mean over the labels that occur on either side;
    exact is the share of rows whose sets are equal.

    Raises:
        ValueError: nothing to score, or lists of different lengths.
    """
    _check(len(predicted), len(expected))
    said, wanted = [set(own) for own in predicted], [set(own) for own in expected]
    pairs = list(zip(said, wanted, strict=True))
    each = []
    for label in sorted(set().union(*said, *wanted)):
        shared = sum(label in own and label in other for own, other in pairs)
        each.append((shared, sum(label in own for own in said), sum(label in own for own in wanted)))
    return {
        "micro_f1": _f_score(*(sum(column) for column in zip(*each, strict=True))) if each else 1.0,
        "macro_f1": fmean(_f_score(*one) for one in each) if each else 1.0,
        "exact": fmean(float(own == other) for own, other in pairs),
    }


def number_scores(predicted: Sequence[float], expected: Sequence[float]) -> dict[str, float]:
    """`{pearson, spearman, mse}`; a correlation with what never changes is 0.

    Raises:
        ValueError: nothing to score, or lists of different lengths.
    """
    from scipy.stats import rankdata

    _check(len(predicted), len(expected))
    return {
        "pearson": correlation(predicted, expected),
        "spearman": correlation(rankdata(predicted).tolist(), rankdata(expected).tolist()),
        "mse": fmean((a - b) ** 2 for a, b in zip(predicted, expected, strict=True)),
    }


def correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation, -1 to 1; 0 where one side never changes."""
    import numpy as np

    if min(np.ptp(first), np.ptp(second)) == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


Mark = tuple[int, int, str]  # where something begins and ends, end exclusive, and what it is


def span_scores(predicted: Sequence[Collection[Mark]], expected: Sequence[Collection[Mark]]) -> dict[str, float]:
    """`{f1, precision, recall}` over all rows and `f1_<label>` for each label, 0 to 1, as CoNLL counts.

    A span is right where its beginning, its end and its label are (Tjong Kim Sang and De Meulder 2003,
    aclanthology.org/W03-0419).

    Raises:
        ValueError: nothing to score, or lists of different lengths.
    """
    _check(len(predicted), len(expected))
    counts = [sum(column) for column in zip(*span_counts(predicted, expected), strict=True)]
    scores = {"f1": span_f1(counts), "precision": counts[0] / counts[1] if counts[1] else 0.0}
    scores["recall"] = counts[0] / counts[2] if counts[2] else 0.0
    for label in sorted({mark[2] for own in (*predicted, *expected) for mark in own}):
        of_label = [[[mark for mark in own if mark[2] == label] for own in side] for side in (predicted, expected)]
        rows = span_counts(of_label[0], of_label[1])
        scores[f"f1_{label}"] = span_f1([sum(column) for column in zip(*rows, strict=True)])
    return scores


def span_counts(
    predicted: Sequence[Collection[Mark]], expected: Sequence[Collection[Mark]]
) -> list[tuple[int, int, int]]:
    """For each row how many spans are right, how many were said and how many there are."""
    pairs = [(set(said), set(wanted)) for said, wanted in zip(predicted, expected, strict=True)]
    return [(len(said & wanted), len(said), len(wanted)) for said, wanted in pairs]


def span_f1(counts: Sequence[float]) -> float:
    """F1 of summed counts; 1 where there was nothing to find and nothing was said."""
    right, said, wanted = counts
    return 2 * right / (said + wanted) if said + wanted else 1.0


def translation_scores(
    predicted: Sequence[str], references: Sequence[Sequence[str]], *, lowercase: bool = False
) -> dict[str, float | str]:
    """`{bleu, chrf, signature}` over the whole corpus, 0 to 1, with sacrebleu's signature of the BLEU.

    Args:
        predicted: One translation a row.
        references: One or more accepted translations a row; rows may have different numbers of them.
        lowercase: Compare without case; the signature says so.

    Raises:
        ValueError: nothing to score, lists of different lengths, or a row without a reference.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    _check(len(predicted), len(references))
    if not all(references):
        raise ValueError("a row has no reference")
    most = max(len(own) for own in references)
    # sacrebleu wants one list a reference stream; None stands where a row has fewer
    streams: Any = [[own[at] if at < len(own) else None for own in references] for at in range(most)]
    bleu, chrf = BLEU(tokenize="13a", lowercase=lowercase), CHRF(lowercase=lowercase)
    return {
        "bleu": bleu.corpus_score(list(predicted), streams).score / 100,
        "chrf": chrf.corpus_score(list(predicted), streams).score / 100,
        "signature": str(bleu.get_signature()),
    }


def bleu_counts(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> list[list[int]]:
    """What the BLEU of `translation_scores` is made of, a row each: its two lengths, matches and n-grams of 1 to 4.

    Summed over any rows, `bleu_of` makes their corpus BLEU of it, so that resampling need not count again.
    """
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(tokenize="13a", effective_order=True)  # which changes a sentence's score and none of its counts
    found = [bleu.sentence_score(text, list(own)) for text, own in zip(predicted, references, strict=True)]
    return [[one.sys_len, one.ref_len, *one.counts, *one.totals] for one in found]


def bleu_of(counts: Sequence[float]) -> float:
    """Corpus BLEU, 0 to 1, of summed counts."""
    from sacrebleu.metrics.bleu import BLEU

    said, wanted, *rest = (round(count) for count in counts)
    return float(BLEU.compute_bleu(rest[:4], rest[4:], said, wanted, smooth_method="exp").score) / 100


def summary_scores(predicted: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """`{rouge1, rouge2, rougeL}`: mean F-scores, 0 to 1, each row with the best of its references.

    Raises:
        ValueError: nothing to score, lists of different lengths, or a row without a reference.
    """
    _check(len(predicted), len(references))
    if not all(references):
        raise ValueError("a row has no reference")
    rows = [[rouge(text, reference) for reference in own] for text, own in zip(predicted, references, strict=True)]
    return {name: fmean(max(score[name] for score in row) for row in rows) for name in ("rouge1", "rouge2", "rougeL")}


def rouge(predicted: str, reference: str) -> dict[str, float]:
    """ROUGE-1, ROUGE-2 and ROUGE-L F-scores of one text against one reference; 0 where one of them has no words."""
    said, wanted = _TOKEN.findall(predicted.lower()), _TOKEN.findall(reference.lower())
    return {
        "rouge1": _overlap(said, wanted, 1),
        "rouge2": _overlap(said, wanted, 2),
        "rougeL": _f_score(_longest_common(said, wanted), len(said), len(wanted)),
    }


def _overlap(said: Sequence[str], wanted: Sequence[str], size: int) -> float:
    left, right = _grams(said, size), _grams(wanted, size)
    return _f_score(sum((left & right).values()), sum(left.values()), sum(right.values()))


def _grams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def _longest_common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest sequence of words that both hold in order, gaps allowed."""
    row = [0] * (len(right) + 1)
    for word in left:
        before = 0
        for at, other in enumerate(right, start=1):
            above = row[at]
            row[at] = before + 1 if word == other else max(row[at], row[at - 1])
            before = above
    return row[-1]


def _f_score(shared: int, said: int, wanted: int) -> float:
    return 2 * shared / (said + wanted) if shared else 0.0


def _check(rows: int, expected: int) -> None:
    if rows != expected or not rows:
        raise ValueError(f"{rows} predictions for {expected} expected rows")
