"""Reviewed answers as rows that a recipe learns from, in the layouts that `training/layouts.py` knows.

Each kind of training takes what it can use and leaves the rest out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Review = Mapping[str, Any]
Row = dict[str, Any]


def rows(kind: str, reviews: Iterable[Review]) -> list[Row]:
    """The rows of one kind of training, a key of `KINDS`."""
    return [row for review in reviews if review["question"] for row in KINDS[kind](review)]


def _chat(review: Review) -> Iterator[Row]:
    """What should be answered: the correction, or an answer that was found good."""
    right = _corrected(review) or (str(review["answer"]) if review["good"] else None)
    if right is not None:
        yield _asked(review, right)


def _dpo(review: Review) -> Iterator[Row]:
    """A correction and the answer that it takes the place of."""
    if right := _corrected(review):
        from training.layouts import conversation_of

        before = conversation_of(_asked(review, right))["messages"]
        yield {"messages": before, "chosen": right, "rejected": str(review["answer"])}


def _kto(review: Review) -> Iterator[Row]:
    """An answer and whether it was found good; a corrected one was not."""
    good = False if _corrected(review) else review["good"]
    if good is not None:
        yield {**_asked(review, str(review["answer"])), "label": good}


def _classify(review: Review) -> Iterator[Row]:
    """A text with its corrected label, or with one that was found good."""
    labels = [one["right"] for one in review["corrections"] if one["kind"] == "label"]
    data = review.get("data") or []
    if not labels and review["good"] and review.get("tool") == "classify" and isinstance(data, list):
        labels = [str(row["label"]) for row in data[:1] if isinstance(row, Mapping) and "label" in row]
    yield from ({"text": review["question"], "label": label} for label in labels)


def _ranking(review: Review) -> Iterator[Row]:
    """A question with the sources that it should have and should not have; those without a complaint count as right."""
    wrong = {one["wrong"]: one["right"] for one in review["corrections"] if one["kind"] == "source"}
    cited = {str(source["number"]): str(source["quote"]) for source in review["sources"]}
    good = [quote for number, quote in cited.items() if number not in wrong] if wrong or review["good"] else []
    bad = [quote for number, quote in cited.items() if number in wrong]
    named = [right for right in wrong.values() if right]
    if good or named:
        yield {"text": review["question"], "positives": [*good, *named], "negatives": bad}


KINDS: dict[str, Callable[[Review], Iterator[Row]]] = {
    "chat": _chat,
    "dpo": _dpo,
    "kto": _kto,
    "classify": _classify,
    "ranking": _ranking,
}
"""What `hearth feedback export --for` can make, by the kind of recipe that reads it."""


def _corrected(review: Review) -> str | None:
    return next((str(one["right"]) for one in review["corrections"] if one["kind"] == "answer"), None)


def _asked(review: Review, answer: str) -> Row:
    """A question with its passages as the assistant was asked, or a plain turn where there were none."""
    passages = [str(source["quote"]) for source in review["sources"]]
    if passages:
        return {"question": review["question"], "passages": passages, "answers": [answer]}
    said = (("user", review["question"]), ("assistant", answer))
    return {"messages": [{"role": role, "content": text} for role, text in said]}
