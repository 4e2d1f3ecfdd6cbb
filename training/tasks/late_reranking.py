"""Late reranker: an encoder learns to put each word of a query near a word of the text that answers it.

A query's likeness to a text is the mean over its words (`models/tasks/late.py`), learned by contrast with all texts of
the batch; some queries are shown as their keywords alone, as people search so, too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.data import Part
from training.tasks.base import Prediction, Row, change_config
from training.tasks.matching import among_candidates
from training.tasks.sentence_embeddings import Options as EmbeddingOptions
from training.tasks.sentence_embeddings import SentenceEmbeddings

if TYPE_CHECKING:
    import torch

    from training.data import Layout

_WORD = re.compile(r"\w+(?:[-'.]\w+)*")


@dataclass(frozen=True)
class Options(EmbeddingOptions):
    """Keys of `[task]`, beside those of sentence embeddings.

    Attributes:
        keywords: In this share of showings a query is its words less the commonest of English.
        candidates: So many texts are reranked for each judged query: the first by BM25, and its own.
    """

    mine: Literal["no", "words", "vectors"] = "words"
    hard: int = 1
    temperature: float = 0.03
    keywords: float = 0.0
    candidates: int = 20


class LateReranking(SentenceEmbeddings):
    """Learns by contrast, word by word; served by `Reranker`."""

    kind = "late-reranking"
    role = "rerank"
    simple_rule = "the candidates in BM25's order"
    merges_adapters = False
    Options = Options

    @property
    def layout(self) -> Layout:
        return queries_of

    def model_files(self, folder: Path) -> None:
        from models.tasks.late import LATE

        change_config(folder, {LATE: True})

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        known = list(rows)
        for row, feature in zip(known, super().features(known), strict=True):
            yield feature | {"keywords": self.ids(keywords_of(row["text"]), "query")[0]}

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        draw = random.Random(f"{seed}:keywords")
        asked = [
            {**feature, "input_ids": feature["keywords" if draw.random() < self.options.keywords else "input_ids"]}
            for feature in features
        ]
        return super().collate(asked, seed)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        import torch
        from torch.nn import functional

        from models.tasks.late import nearest

        queries, texts = (
            model(input_ids=batch[f"{name}_ids"], attention_mask=batch[f"{name}_mask"]).last_hidden_state
            for name in ("query", "text")
        )
        special = [self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.tokenizer.pad_token_id]
        edges = torch.tensor([one for one in special if one is not None], device=batch["query_ids"].device)
        words = (~torch.isin(batch["query_ids"], edges) & (batch["query_mask"] > 0)).float()
        likeness = (nearest(queries, texts, batch["text_mask"]) * words[:, None]).sum(-1) / words.sum(-1)[:, None]
        scores = (likeness / self.options.temperature).masked_fill(batch["right_too"], float("-inf"))
        return functional.cross_entropy(scores, batch["own"], reduction="sum")

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.reranker import Reranker

        served = Reranker(str(folder), home=home)
        return among_candidates(self.pool(rows, whole=True), rows, self.options.candidates, served.rerank)

    def predict_quickly(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        return self.predict(folder, home, rows)

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        return among_candidates(self.pool(rows, whole=True), rows, self.options.candidates)


def keywords_of(query: str) -> str:
    """The words of a query that tell what it is about, in order; the query itself where there are none."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    kept = [word for word in _WORD.findall(query) if word.casefold() not in ENGLISH_STOP_WORDS]
    return " ".join(kept) or query


def queries_of(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Queries with their texts, and a title for `split.by`, of a row in one of the known layouts.

    Known are `text` and `positives`; SQuAD's question and context; Natural Questions' text and long answer; a paper's
    abstract (`source`), to be found by its title and by each short summary (`target`).

    Raises:
        ValueError: the row is in none of them.
    """
    title = {"title": values["title"]} if "title" in values else {}
    if "text" in values and "positives" in values:
        return [{name: values[name] for name in ("text", "positives", "negatives") if name in values} | title]
    if "question" in values and "context" in values:
        return [{"text": values["question"], "positives": values["context"]} | title]
    if "text" in values and "long_answer" in values:
        return [{"text": values["text"], "positives": values["long_answer"]} | title]
    if "source" in values and "target" in values and title:
        abstract = " ".join(values["source"])
        return [{"text": query, "positives": abstract} | title for query in (values["title"], *values["target"])]
    raise ValueError(
        "expected text and positives, question and context, text and long_answer, or title, source and target; the "
        f"columns are {', '.join(map(repr, values))}."
    )
