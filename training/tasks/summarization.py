"""Summaries by an encoder-decoder: rows hold `text` and one or several right summaries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data import Column, Layout, Part
from training.tasks.base import Prediction, Row
from training.tasks.seq2seq import Seq2Seq, WritingOptions


@dataclass(frozen=True)
class Options(WritingOptions):
    """Keys of `[task]`, beside those of all encoder-decoders.

    `words` bounds a summary when serving; `prefix` stands before every text, such as "summarize: " for a T5.
    """

    words: int = 60
    prefix: str | None = None


class Summarization(Seq2Seq):
    """Learns summaries; served by `models.tasks.summarizer`."""

    kind = "summarization"
    role = "summarize"
    metric = "rougeL"
    simple_rule = "the first sentences, about as long as a summary"
    Options = Options

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"), Column("references", "texts", answer=True))

    @property
    def layout(self) -> Layout:
        return _laid_out

    def specific(self) -> dict[str, Any]:
        prefix = self.options.prefix
        return {} if prefix is None else {"summarization": {"prefix": prefix}}

    def source_text(self, row: Row) -> str:
        from models.tasks.summarizer import prefix_of

        own = {"task_specific_params": self.specific()} if self.specific() else {}
        return prefix_of(self.base_config | own) + str(row["text"])

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.summarizer import Seq2SeqSummarizer

        served = Seq2SeqSummarizer(str(folder), home=home)
        return [{"summary": served(row["text"], words=self.options.words).summary} for row in rows]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.sentences import sentences

        lengths = sorted(len(references[0].split()) for references in train.column("references"))
        usual = lengths[len(lengths) // 2]
        return [{"summary": _lead(sentences(row["text"]), usual)} for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import summary_scores

        return summary_scores([one["summary"] for one in predictions], [row["references"] for row in rows])

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        return [
            self.scores([row], [prediction])[self.metric] for row, prediction in zip(rows, predictions, strict=True)
        ]


def _lead(found: Sequence[str], words: int) -> str:
    """The first sentence and those after it, until there are about so many words."""
    taken: list[str] = []
    for sentence in found:
        if taken and sum(len(one.split()) for one in taken) + len(sentence.split()) / 2 > words:
            break
        taken.append(sentence)
    return " ".join(taken)


def _laid_out(values: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Texts given as sentences are joined; one summary is a list of one."""
    found = dict(values)
    if isinstance(values.get("text"), list):
        found["text"] = " ".join(str(one).strip() for one in values["text"])
    given = next((values[name] for name in ("references", "reference", "summary") if name in values), None)
    if given is not None:
        texts = given if isinstance(given, list) else [given]
        found["references"] = [text for text in texts if isinstance(text, str) and text.strip()]
    return [found]
