"""Sentence embeddings from pairs with a score: the more alike two texts, the nearer their vectors.

Source: the CoSENT loss, Su 2022, https://kexue.fm/archives/8847.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column
from training.tasks.base import Prediction, Row
from training.tasks.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`: what the differences of cosines are divided by in the loss."""

    temperature: float = 0.05


class SentenceSimilarity(SentenceEncoder):
    """Learns the order of pairs by their likeness; rows hold `text`, `text_pair` and `score`, higher is more alike.

    The loss compares every pair of a forward pass with every other, so it is one number a pass and
    `training.accumulation_steps` brings no further comparisons.
    """

    kind = "sentence-similarity"
    metric = "spearman"
    Options = Options

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"), Column("text_pair"), Column("score", "number"))

    def feature(self, row: Row) -> dict[str, Any]:
        first, second = (self.ids(row[name], "document") for name in ("text", "text_pair"))
        return {
            "input_ids": first[0],
            "second_ids": second[0],
            "score": row["score"],
            "cut": first[1] or second[1],
        }

    def length(self, feature: Mapping[str, Any]) -> int:
        return 2 * max(len(feature["input_ids"]), len(feature["second_ids"]))

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        return {
            "scores": torch.tensor([feature["score"] for feature in features], dtype=torch.float32),
            **self.inputs([feature["input_ids"] for feature in features], "first"),
            **self.inputs([feature["second_ids"] for feature in features], "second"),
        }

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return 1

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        import torch

        first, second = (self.vectors(model, batch, name) for name in ("first", "second"))
        cosines = (first * second).sum(-1) / self.options.temperature
        wrong_by = cosines[None, :] - cosines[:, None]  # (row, column): how much nearer the column's pair is
        should_be_nearer = batch["scores"][:, None] > batch["scores"][None, :]
        compared = wrong_by[should_be_nearer]
        return torch.logsumexp(torch.cat([compared.new_zeros(1), compared]), 0)

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        import numpy as np

        from models.embeddings import LocalEmbeddings

        served = LocalEmbeddings(str(folder), home=home, engine="torch")
        texts = list(dict.fromkeys(text for row in rows for text in (row["text"], row["text_pair"])))
        found = dict(zip(texts, map(np.asarray, served.embed_documents(texts)), strict=True))
        return [{"value": float(found[row["text"]] @ found[row["text_pair"]])} for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import number_scores

        found = number_scores([one["value"] for one in predictions], [row["score"] for row in rows])
        return {name: found[name] for name in ("spearman", "pearson")}

    def example(self, feature: Mapping[str, Any]) -> str:
        first, second = (self.tokenizer.decode(feature[name]) for name in ("input_ids", "second_ids"))
        return f"{first} | {second} ⟦{feature['score']}⟧"
