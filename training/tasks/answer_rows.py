"""Rows of question answering in their usual layouts, to one: question, text, accepted answers and where they start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NO_ANSWER = ""  # the accepted answer of a question that has none, as SQuAD 2.0 judges it
_TEXT_NAMES = ("text", "context")


def laid_out(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one source row.

    It is one question with `text` or `context` and `answers`, or an article with `paragraphs` of `qas`. Answers are
    texts, `{text, answer_start}` or lists of either, or `{"text": [...], "answer_start": [...]}`; none of them means
    that there is no answer. Natural Questions' rows have the question in `text`, the paragraph in `long_answer` and
    `short_answers`. Without a start that fits, the first place where the answer stands counts.

    Raises:
        ValueError: a column is missing, or no answer stands in the text.
    """
    if isinstance(values.get("paragraphs"), list):
        for paragraph in values["paragraphs"]:
            for question in paragraph.get("qas", []):
                yield from laid_out({**question, "context": paragraph.get("context")})
        return
    if "long_answer" in values and "short_answers" in values:
        question, answers = values.get("text"), values["short_answers"]
        values = {"question": question, "context": values["long_answer"], "answers": answers}
    text = next((values[name] for name in _TEXT_NAMES if isinstance(values.get(name), str)), None)
    if text is None or "question" not in values or ("answers" not in values and "answer" not in values):
        have = ", ".join(map(repr, values))
        raise ValueError(f"expected 'question', 'context' and 'answers' (or 'answer'); the columns are {have}.")
    given = values["answers"] if "answers" in values else values["answer"]
    found = [] if values.get("is_impossible") else list(_answers(given, text))
    yield {
        "question": values["question"],
        "text": text,
        "answers": [answer for answer, _ in found] or [NO_ANSWER],
        "starts": [start for _, start in found] or [-1],
    }


def _answers(given: Any, text: str) -> Iterator[tuple[str, int]]:
    """Each answer that stands in the text, with where it starts."""
    pairs = [pair for pair in _pairs(given) if pair[0].strip()]
    placed = [(answer, _place(answer, start, text)) for answer, start in pairs]
    standing = [(answer, place) for answer, place in placed if place >= 0]
    if pairs and not standing:
        raise ValueError(f"the answer {pairs[0][0]!r} does not stand in the text.")
    yield from standing


def _place(answer: str, start: int | None, text: str) -> int:
    fits = start is not None and text[start : start + len(answer)] == answer
    return start if fits and start is not None else text.find(answer)


def _pairs(given: Any) -> Iterator[tuple[str, int | None]]:
    if given is None:
        return
    if isinstance(given, dict) and isinstance(given.get("text"), list):
        starts = given.get("answer_start") or [None] * len(given["text"])
        yield from zip(map(str, given["text"]), starts, strict=True)
    elif isinstance(given, dict):
        yield str(given.get("text", "")), given.get("answer_start")
    elif isinstance(given, list):
        for one in given:
            yield from _pairs(one)
    else:
        yield str(given), None
