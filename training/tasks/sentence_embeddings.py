"""Sentence embeddings from queries and the texts that belong to them: each finds its own among all texts of the batch.

Sources: Henderson et al. 2017, https://arxiv.org/abs/1705.00652 (in-batch negatives); temperature as in Radford et al.
2021, https://arxiv.org/abs/2103.00020.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.mining import by_vectors
from training.tasks.base import Prediction, Row
from training.tasks.matching import Matching, MatchingOptions, ranked
from training.tasks.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    import torch
    from langchain_core.embeddings import Embeddings


@dataclass(frozen=True)
class Options(MatchingOptions):
    """Keys of `[task]`, beside those of all matching tasks: what the cosines are divided by in the loss."""

    temperature: float = 0.05


class SentenceEmbeddings(SentenceEncoder, Matching):
    """Learns by contrast; judged by how high a query's own texts stand.

    The negatives of a query are the other texts of its forward pass: `training.batch_rows` decides how many there are,
    and `training.accumulation_steps` adds none. Texts that belong to the query as well never count against it.
    """

    kind = "sentence-embeddings"
    Options = Options

    def miner(self) -> Embeddings:
        return self._served(self._files.folder, self._home)

    def _served(self, folder: Path, home: Path) -> Embeddings:
        from models.embeddings import LocalEmbeddings

        return LocalEmbeddings(str(folder), home=home, engine="torch")

    def feature(self, row: Row) -> dict[str, Any]:
        return next(self.features([row]))

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        known = list(rows)
        ids = cache(lambda text: self.ids(text, "document"))  # a passage often belongs to many queries
        for row, negatives in zip(known, self.negatives(known), strict=True):
            query, right = self.ids(row["text"], "query"), [ids(text) for text in row["positives"]]
            yield {
                "input_ids": query[0],
                "positives": [one for one, _ in right],
                "negatives": [ids(text)[0] for text in negatives],
                "cut": query[1] or any(cut for _, cut in right),
            }

    def length(self, feature: Mapping[str, Any]) -> int:
        longest = max(map(len, [*feature["positives"], *feature["negatives"]]))
        return len(feature["input_ids"]) + longest * (1 + self.shown(feature))

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        draw = random.Random(seed)
        texts: dict[tuple[int, ...], int] = {}  # each text once, however many queries have it
        own = [texts.setdefault(tuple(draw.choice(feature["positives"])), len(texts)) for feature in features]
        for feature in features:
            for ids in draw.sample(feature["negatives"], self.shown(feature)):
                texts.setdefault(tuple(ids), len(texts))
        right_too = torch.zeros(len(features), len(texts), dtype=torch.bool)
        for row, feature in enumerate(features):
            for ids in feature["positives"]:
                if (at := texts.get(tuple(ids), own[row])) != own[row]:
                    right_too[row, at] = True
        return {
            "own": torch.tensor(own),
            "right_too": right_too,
            **self.inputs([feature["input_ids"] for feature in features], "query"),
            **self.inputs([list(ids) for ids in texts], "text"),
        }

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["own"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        from torch.nn import functional

        queries, texts = (self.vectors(model, batch, name) for name in ("query", "text"))
        likeness = (queries @ texts.T / self.options.temperature).masked_fill(batch["right_too"], float("-inf"))
        smoothing = self.recipe.training.label_smoothing
        return functional.cross_entropy(likeness, batch["own"], reduction="sum", label_smoothing=smoothing)

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        return self._predict(folder, home, rows, whole=True)

    def predict_quickly(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        return self._predict(folder, home, rows, whole=False)

    def _predict(self, folder: Path, home: Path, rows: Sequence[Row], *, whole: bool) -> list[Prediction]:
        pool = self.pool(rows, whole=whole)
        return ranked(by_vectors(pool, self._served(folder, home)), pool, rows)

    def example(self, feature: Mapping[str, Any]) -> str:
        right, wrong = (
            " ⟧ or ⟦ ".join(self.tokenizer.decode(ids) for ids in feature[name][:3])
            for name in ("positives", "negatives")
        )
        return f"{self.tokenizer.decode(feature['input_ids'])} ⟦ {right} ⟧" + (f" and not {wrong}" if wrong else "")
