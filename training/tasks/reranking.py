"""Reranker: a cross-encoder learns to put a query's own text before others that look right.

Sources: Nogueira and Cho 2019, https://arxiv.org/abs/1901.04085 (binary); Gao et al. 2021,
https://arxiv.org/abs/2101.08751 (listwise, over one right text and several hard negatives).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from training.data import LINE, SOURCE, Part
from training.errors import MissingKey, TooLong
from training.recipe import Recipe
from training.tasks.base import Prediction, Row, padded_inputs
from training.tasks.matching import Matching, MatchingOptions, among_candidates

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Options(MatchingOptions):
    """Keys of `[task]`, beside those of all matching tasks.

    `loss` "listwise" makes the right text likelier than the negatives beside it, "binary" judges each by itself.
    `candidates` texts are reranked for each judged query: the first by BM25, and its own.
    """

    mine: Literal["no", "words", "vectors"] = "words"
    hard: int = 7
    loss: Literal["listwise", "binary"] = "listwise"
    candidates: int = 20


class Reranking(Matching):
    """Learns relevance; served by `Reranker`."""

    kind = "reranking"
    role = "rerank"
    auto_class = "AutoModelForSequenceClassification"
    simple_rule = "the candidates in BM25's order"
    Options = Options

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        if self.options.hard < 1:
            raise MissingKey(recipe.path.name, "task.hard", "negatives beside a right text, at least 1")

    def config_changes(self) -> dict[str, Any]:
        return {"num_labels": 1, "id2label": {0: "relevance"}, "label2id": {"relevance": 0}}

    def feature(self, row: Row) -> dict[str, Any]:
        return next(self.features([row]))

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        known = list(rows)
        for row, negatives in zip(known, self.negatives(known), strict=True):
            right, cut = self._pairs(row, row["positives"])
            wrong, _ = self._pairs(row, negatives)
            yield {"positives": right, "negatives": wrong, "cut": cut, "empty": not wrong}

    def _pairs(self, row: Row, texts: Sequence[str]) -> tuple[list[dict[str, list[int]]], bool]:
        """The first window of each text beside the query, and whether a text has more than one."""
        from models.errors import PromptTooLong
        from models.tasks.reranker import query_windows

        try:
            windows = query_windows(self.tokenizer, row["text"], texts, self.max_tokens) if texts else []
        except PromptTooLong as error:
            raise TooLong(row[SOURCE], f"the query leaves no room for text ({error})", row[LINE]) from error
        first = {window.sample: window.inputs for window in reversed(windows)}
        return [first[index] for index in range(len(texts))], len(windows) > len(texts)

    def length(self, feature: Mapping[str, Any]) -> int:
        longest = max(len(one["input_ids"]) for one in (*feature["positives"], *feature["negatives"]))
        return longest * (1 + self.shown(feature))

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        import torch

        draw = random.Random(seed)
        pairs: list[Mapping[str, Any]] = []
        at = torch.full((len(features), 1 + self.options.hard), -1)  # where each query's texts stand, its own first
        for row, feature in enumerate(features):
            negatives = draw.sample(feature["negatives"], self.shown(feature))
            group = [draw.choice(feature["positives"]), *negatives]
            at[row, : len(group)] = torch.arange(len(pairs), len(pairs) + len(group))
            pairs += group
        return {"at": at, **padded_inputs(self.tokenizer, pairs)}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return len(batch["at"])

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        import torch
        from torch.nn import functional

        at = batch["at"]
        flat = model(**{name: value for name, value in batch.items() if name != "at"}).logits[:, 0].float()
        scores, absent = flat[at.clamp(min=0)], at < 0
        if self.options.loss == "listwise":
            scores = scores.masked_fill(absent, float("-inf"))
            own = torch.zeros(len(at), dtype=torch.long, device=scores.device)
            return functional.cross_entropy(scores, own, reduction="sum")
        wanted = torch.zeros_like(scores)
        wanted[:, 0] = 1.0
        each = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none").masked_fill(absent, 0.0)
        return (each.sum(1) / (~absent).sum(1)).sum()

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.reranker import Reranker

        served = Reranker(str(folder), home=home)
        return among_candidates(
            self.pool(rows, whole=True), rows, self.options.candidates, lambda query, texts: served.rerank(query, texts)
        )

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        return among_candidates(self.pool(rows, whole=True), rows, self.options.candidates)

    def example(self, feature: Mapping[str, Any]) -> str:
        right, wrong = (
            [self.tokenizer.decode(one["input_ids"]) for one in feature[name][:2]]
            for name in ("positives", "negatives")
        )
        return f"⟦ {right[0]} ⟧ before {' and '.join(wrong)}"
