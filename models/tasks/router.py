"""Which tool a message needs, or none: an encoder trained to put a message near the description of its tool.

Tools are given by name and description with each call, so that one trained router can choose among tools it never saw;
how well depends on the tools it learned from.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BrokenModel
from models.tasks.base import TaskModel, as_texts, tokenizer_turn
from models.tasks.features import mean_vectors
from models.tasks.roles import NO_TOOL

if TYPE_CHECKING:
    import torch

TEMPERATURE = "route_temperature"  # the key of config.json with what cosines are divided by
_BATCH_TEXTS = 64


@dataclass(frozen=True)
class Routed:
    """One choice with its probability, 0 to 1; `tool` None is a plain reply."""

    tool: str | None
    probability: float


class ToolRouter(TaskModel):
    """An encoder whose mean token vectors, of length 1, are compared by their cosine."""

    role_name = "route"

    def __init__(self, name: str, *, home: Path) -> None:
        super().__init__(name, home=home)
        self._known: dict[str, torch.Tensor] = {}
        self._turn = threading.Lock()

    def route(self, message: str, tools: Mapping[str, str]) -> list[Routed]:
        """Every tool, and None for no tool, by probability, best first.

        Args:
            message: The person's words; what does not fit the window is cut off.
            tools: Names with their descriptions.

        Raises:
            EmptyText: the message or a description is empty.
        """
        return self.many([message], tools)[0]

    def many(self, messages: Sequence[str], tools: Mapping[str, str]) -> list[list[Routed]]:
        """`route` for each message, in order."""
        import torch

        names: list[str | None] = [None, *tools]
        options = self._described([str(self._value(NO_TOOL)), *as_texts(list(tools.values()), "description")])
        cosines = self._vectors(as_texts(messages, "message")) @ options.T
        shares = torch.softmax(cosines / float(self._value(TEMPERATURE)), dim=-1)
        return [
            sorted((Routed(name, share) for name, share in zip(names, row, strict=True)), key=lambda r: -r.probability)
            for row in shares.tolist()
        ]

    def _value(self, key: str) -> Any:
        if key not in self.config:
            raise BrokenModel(self.folder, f"its configuration lacks {key!r}")
        return self.config[key]

    def _described(self, texts: Sequence[str]) -> torch.Tensor:
        """The vectors of descriptions, computed once each."""
        import torch

        with self._turn:
            if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
                self._known.update(zip(new, self._vectors(new), strict=True))
            return torch.stack([self._known[text] for text in texts])

    def _vectors(self, texts: Sequence[str]) -> torch.Tensor:
        """Shape (texts, size), in float32, each of length 1."""
        import torch

        tokenizer = self.load().tokenizer
        found = []
        for start in range(0, len(texts), _BATCH_TEXTS):
            part = list(texts[start : start + _BATCH_TEXTS])
            with tokenizer_turn:
                inputs = tokenizer(part, padding=True, truncation=True, max_length=self.window, return_tensors="pt")
            states = self._forward(**inputs).last_hidden_state.float().cpu()
            found.append(mean_vectors(states, inputs["attention_mask"]))
        return torch.cat(found)
