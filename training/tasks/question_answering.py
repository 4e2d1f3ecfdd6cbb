"""Extractive question answering: the words of a text that answer a question, or that there are none.

Rows are those of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, and 2018,
https://arxiv.org/abs/1806.03822), flat or nested as on its site, or plain columns.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from training.data import LINE, SOURCE, Column, Layout, Part, Splits
from training.errors import OneClass, TooLong
from training.gaps import gap_questions
from training.tasks.answer_rows import NO_ANSWER, laid_out
from training.tasks.base import Prediction, Row, Task, change_config, padded_inputs

if TYPE_CHECKING:
    import torch

    from models.tasks.windows import Window

_TRIED_ROWS = 500


@dataclass(frozen=True)
class _Options:
    """`gaps`: rows that hold a `text` and no question become so many questions with gaps (`training/gaps.py`)."""

    gaps: int = 0


class QuestionAnswering(Task):
    """Learns where answers begin and end; served by `Extractor`.

    A text longer than the model reads at once becomes one feature a window; a window without the answer learns "no
    answer". Of several accepted answers one is drawn at each pass.
    """

    kind = "question-answering"
    role = "extract"
    auto_class = "AutoModelForQuestionAnswering"
    metric = "f1"
    Options: ClassVar[type] = _Options
    simple_rule = "no answer, or the sentence that shares most words with the question, by what training rows say"

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("question"), Column("text"), Column("answers", "texts", answer=True), Column("starts", "marks"))

    @property
    def layout(self) -> Layout:
        return self._asked if self.options.gaps else laid_out

    def _asked(self, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A row's own question, or those made of its text."""
        text = values.get("text")
        if "question" in values or not isinstance(text, str):
            yield from laid_out(values)
            return
        for row in gap_questions([text], self.options.gaps, f"{self.recipe.seed}:{text}"):
            yield from laid_out(row)

    def prepare(self, splits: Splits) -> None:
        if all(answers == [NO_ANSWER] for answers in splits.train.column("answers")):
            raise OneClass(", ".join(self.recipe.data.train), "no question has an answer; there is nothing to learn.")

    def feature(self, row: Row) -> dict[str, Any]:
        return next(self.features([row]))

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        from models.errors import PromptTooLong
        from models.tasks.extractor import null_position, question_windows

        for row in rows:
            try:
                windows = question_windows(self.tokenizer, [row["question"]], [row["text"]], self.max_tokens)
            except PromptTooLong as error:
                raise TooLong(row[SOURCE], f"the question leaves no room for text ({error})", row[LINE]) from error
            for window in windows:
                spans = [span for span in answer_tokens(window, row) if span is not None]
                null = null_position(self.tokenizer, window)
                yield {**window.inputs, "spans": [list(span) for span in spans] or [[null, null]]}

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        draw = random.Random(seed)
        spans = [draw.choice(feature["spans"]) for feature in features]
        return padded_inputs(self.tokenizer, features) | {"spans": torch.tensor(spans)}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["spans"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        import torch
        from torch.nn import functional

        found = model(**{name: value for name, value in batch.items() if name != "spans"})
        padding = batch["attention_mask"] == 0
        losses = [
            functional.cross_entropy(
                logits.float().masked_fill(padding, torch.finfo(torch.float32).min),
                batch["spans"][:, side],
                reduction="sum",
            )
            for side, logits in enumerate((found.start_logits, found.end_logits))
        ]
        return (losses[0] + losses[1]) / 2

    def calibrate(self, folder: Path, home: Path, rows: Sequence[Row]) -> None:
        from models.metrics import token_f1
        from models.tasks.extractor import NO_ANSWER_MARGIN

        if all(NO_ANSWER not in row["answers"] for row in rows):
            return
        said = self.predict(folder, home, rows)
        gains = [
            (one["margin"], token_f1(one["best"], row["answers"]) - token_f1(NO_ANSWER, row["answers"]))
            for row, one in zip(rows, said, strict=True)
        ]
        change_config(folder, {NO_ANSWER_MARGIN: best_margin(gains)})

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.extractor import Extractor, log_odds

        served = Extractor(str(folder), home=home)
        found = served.many([row["question"] for row in rows], [row["text"] for row in rows])
        said = []
        for row, one in zip(rows, found, strict=True):
            best = one.answer or (row["text"][one.others[0].start : one.others[0].end] if one.others else "")
            score = one.score if one.answer else (one.others[0].score if one.others else 0.0)
            margin = log_odds(one.no_answer_score or 0.0, score)
            said.append({"answer": one.answer, "start": one.start, "best": best.strip(), "margin": margin})
        return said

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        from models.metrics import token_f1

        tried = [train.rows[index] for index in range(min(_TRIED_ROWS, len(train)))]
        sentence = fmean(token_f1(nearest_sentence(row), row["answers"]) for row in tried)
        nothing = fmean(token_f1(NO_ANSWER, row["answers"]) for row in tried)
        return [{"answer": nearest_sentence(row) if sentence >= nothing else NO_ANSWER} for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from models.metrics import exact_match

        exact = [exact_match(one["answer"], row["answers"]) for row, one in zip(rows, predictions, strict=True)]
        found = {"f1": fmean(self.row_scores(rows, predictions)), "exact": fmean(exact)}
        abstained = [not one["answer"] for one in predictions]
        impossible = [NO_ANSWER in row["answers"] for row in rows]
        if any(impossible) and not all(impossible):
            right = fmean(a for a, no in zip(abstained, impossible, strict=True) if no)
            wrong = fmean(a for a, no in zip(abstained, impossible, strict=True) if not no)
            found |= {
                "abstains_rightly": right,
                "abstains_wrongly": wrong,
                "balanced_accuracy": (right + 1 - wrong) / 2,
            }
        return found

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        from models.metrics import token_f1

        return [token_f1(one["answer"], row["answers"]) for row, one in zip(rows, predictions, strict=True)]

    def example(self, feature: Mapping[str, Any]) -> str:
        ids = feature["input_ids"]
        first, last = feature["spans"][0]
        before, answer, after = (self.tokenizer.decode(part) for part in _cut(ids, first, last + 1))
        return f"{before} ⟦{answer}⟧ {after}"


def answer_tokens(window: Window, row: Row) -> list[tuple[int, int] | None]:
    """First and last token of each answer of a row in a window; None where it does not stand whole in it."""
    body = [at for at, own in enumerate(window.body) if own and window.offsets[at][0] < window.offsets[at][1]]
    found: list[tuple[int, int] | None] = []
    for answer, begun in zip(row["answers"], row["starts"], strict=True):
        ended = begun + len(answer)
        inside = [at for at in body if window.offsets[at][1] > begun and window.offsets[at][0] < ended]
        whole = inside and answer and window.offsets[inside[0]][0] <= begun and window.offsets[inside[-1]][1] >= ended
        found.append((inside[0], inside[-1]) if whole else None)
    return found


def best_margin(gains: Sequence[tuple[float, float]]) -> float:
    """The margin above which abstaining is best, of each row's own margin and what answering it gains."""
    kept, best, chosen = 0.0, 0.0, float("-inf")
    order = sorted(gains)
    for index, (margin, gain) in enumerate(order):  # answering the rows up to this one, abstaining in the rest
        kept += gain
        after = order[index + 1][0] if index + 1 < len(order) else margin + 1.0
        if kept > best and after > margin:
            best, chosen = kept, (margin + after) / 2
    return chosen if chosen != float("-inf") else order[0][0] - 1.0


def nearest_sentence(row: Row) -> str:
    """The sentence of the text that shares most words with the question, the first of equal ones."""
    from models.metrics import normalise_answer
    from models.tasks.sentences import sentences

    asked = set(normalise_answer(row["question"]).split())
    return max(sentences(row["text"]), key=lambda one: len(asked & set(normalise_answer(one).split())))


def _cut(ids: Sequence[int], start: int, end: int) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    return ids[:start], ids[start:end], ids[end:]
