"""What an engine is: prompt token ids in, answer token ids out, one at a time.

Chat templates, detokenisation and stop strings live above (models/chat.py), so every engine shares them.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class GenerationOptions:
    """How to generate one answer.

    Attributes:
        max_new_tokens: Most ids to yield; at least 1.
        temperature: 0 is greedy; above 0 samples with `top_p`, `top_k` and `seed`.
        top_p: Smallest set of ids with this probability mass is kept; 1 keeps all.
        top_k: Number of most likely ids kept; 0 keeps all.
        seed: Makes a sampled answer repeatable; None draws a fresh one.
        stop_token_ids: Ids that end the answer; never yielded.
        prompt_lookup: Guess ahead by copying from the prompt. Greedy text stays the same, only sooner.
        logits_processor: A transformers LogitsProcessor (constrained decoding); never combined with `prompt_lookup`.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    prompt_lookup: bool = False
    logits_processor: Any | None = None


@runtime_checkable
class Engine(Protocol):
    """One loaded model that generates; calls may come from any thread, one generation at a time."""

    @property
    def name(self) -> str:
        """Short name of the engine, such as `torch`."""
        ...

    def stream(
        self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event
    ) -> Generator[int, None, None]:
        """Yields answer ids as they are made.

        Ends after `max_new_tokens`, at a stop id (not yielded), or within one token of `cancel` being set. Closing the
        iterator also ends the generation. An exception in the engine is raised here, unchanged.
        """
        ...
