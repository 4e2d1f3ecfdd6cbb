"""Extractive question answering: the passage's own words that answer, with offsets, or that there is no answer."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.tasks.base import TaskModel, as_texts
from models.tasks.spans import LONGEST_ANSWER_TOKENS, Scores, Span, best_spans
from models.tasks.windows import Window, batches, padded, windows_of

_STRIDE = 128
NO_ANSWER_MARGIN = "no_answer_margin"  # the key of config.json


@dataclass(frozen=True)
class Extraction:
    """The answer to a question about a text.

    Attributes:
        answer: `text[start:end]`; empty where there is none.
        score: The answer's probability, among all spans and "no answer".
        start: Offset of the answer, None where there is none.
        end: End of the answer, exclusive.
        no_answer_score: The probability that the text does not answer; None where the method cannot tell.
        others: Other candidates that do not overlap it, best first.
        model: The model that answered.
        method: `span` from a reader; `sentence` for the nearest whole sentence, where no reader is configured.
    """

    answer: str
    score: float
    start: int | None
    end: int | None
    no_answer_score: float | None
    others: tuple[Span, ...]
    model: str
    method: str = "span"

    def to_json(self) -> dict[str, Any]:
        """The fields but `others`."""
        names = ("answer", "score", "start", "end", "no_answer_score", "model", "method")
        return {name: getattr(self, name) for name in names}


class Extractor(TaskModel):
    """A span reader; long texts are read in overlapping windows.

    The likeliest span wins over all windows; "no answer" wins where the model was taught it (SQuAD 2) and its
    log-probability is above every span's by more than the margin chosen when the model was trained, else 0.
    """

    role_name = "extract"

    @property
    def no_answer_margin(self) -> float:
        """By how much the log-probability of "no answer" must be above the best span's."""
        return float(self.config.get(NO_ANSWER_MARGIN) or 0.0)

    def __call__(self, question: str, text: str, *, can_abstain: bool = True) -> Extraction:
        """The answer to one question about one text; see `many`."""
        return self.many([question], [text], can_abstain=can_abstain)[0]

    def many(
        self,
        questions: Sequence[str],
        texts: Sequence[str],
        *,
        can_abstain: bool = True,
        max_answer_tokens: int = LONGEST_ANSWER_TOKENS,
    ) -> list[Extraction]:
        """The answer to each question about the text beside it, in order.

        Args:
            questions: One a text.
            texts: Of any length.
            can_abstain: False always gives the best span.
            max_answer_tokens: The longest span considered; one of up to a third of the window is never cut by windows.

        Raises:
            EmptyText: a question or text is empty.
            PromptTooLong: a question leaves no room for text in the model's window.
        """
        asked, given = as_texts(questions, "question"), as_texts(texts)
        tokenizer = self.load().tokenizer
        windows = question_windows(tokenizer, asked, given, self.window)
        scored = self._scores(windows)
        members: list[list[Scores]] = [[] for _ in given]
        for window, scores in zip(windows, scored, strict=True):
            members[window.sample].append(scores)
        return [
            self._answer(text, best_spans(own, longest=max_answer_tokens), can_abstain)
            for text, own in zip(given, members, strict=True)
        ]

    def _answer(self, text: str, found: tuple[list[Span], float], can_abstain: bool) -> Extraction:
        spans, null = found
        if not spans or (can_abstain and log_odds(null, spans[0].score) > self.no_answer_margin):
            return Extraction("", null, None, None, null, tuple(spans), self.name)
        start, end = _trimmed(text, spans[0].start, spans[0].end)
        return Extraction(text[start:end], spans[0].score, start, end, null, tuple(spans[1:]), self.name)

    def _scores(self, windows: Sequence[Window]) -> list[Scores]:
        tokenizer = self.load().tokenizer
        left = tokenizer.padding_side == "left"
        found: list[Any] = [None] * len(windows)
        for indices in batches(windows):
            batch = padded(tokenizer, [windows[index] for index in indices])
            output = self._forward(**batch)
            starts = output.start_logits.double().cpu().numpy()
            ends = output.end_logits.double().cpu().numpy()
            for row, index in enumerate(indices):
                window, length = windows[index], len(windows[index])
                part = slice(-length, None) if left else slice(length)
                start, end = starts[row, part], ends[row, part]
                null = null_position(tokenizer, window)
                score = float(start[null] + end[null])
                found[index] = Scores(start, end, window.body, window.offsets, score)
        return found


def log_odds(first: float, second: float) -> float:
    """The difference of two probabilities' logarithms; what is too small to have one counts as the least number."""
    return math.log(max(first, sys.float_info.min)) - math.log(max(second, sys.float_info.min))


def question_windows(tokenizer: Any, questions: Sequence[str], texts: Sequence[str], window: int) -> list[Window]:
    """The windows in which texts are read, the question whole before each.

    Raises:
        PromptTooLong: a question leaves no room for text.
    """
    return windows_of(tokenizer, texts, window=window, stride=min(_STRIDE, window // 3), before=questions)


def null_position(tokenizer: Any, window: Window) -> int:
    """Where "no answer" is said: at the [CLS] token, wherever that stands."""
    ids = window.inputs["input_ids"]
    return ids.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in ids else 0


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
