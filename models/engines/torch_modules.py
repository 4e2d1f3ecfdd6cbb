"""Encoders as torch modules of one tensor in and one out, which is what an exporter takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class SentenceModule(torch.nn.Module):
    """A sentence encoder with all of its own modules (pooling, dense layers), and its vectors at length 1."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Vectors of shape (texts, dimension) for ids and mask of shape (texts, tokens)."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in self.encoder:
            features = module(features)
        return torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1)


class ScoreModule(torch.nn.Module):
    """A classifier or cross-encoder; gives its logits alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits of shape (texts, classes) for inputs of shape (texts, tokens)."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **types).logits
        return logits


class StatesModule(torch.nn.Module):
    """An encoder; gives its last layer's states alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """States of shape (texts, tokens, size) for inputs of shape (texts, tokens)."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found = self.model(input_ids=input_ids, attention_mask=attention_mask, **types)
        states: torch.Tensor = found.last_hidden_state
        return states


def torch_scores(model: Any, rows: Sequence[Mapping[str, Sequence[int]]]) -> npt.NDArray[np.float32]:
    """The logits of each text read alone, shape (texts, classes)."""
    with torch.inference_mode():
        found = [model(**{key: torch.tensor([list(ids)]) for key, ids in row.items()}).logits[0] for row in rows]
    values: npt.NDArray[np.float32] = torch.stack(found).float().numpy()
    return values
