"""The OpenVINO engine: a converted model with int8 weights, several answers at once, on a CPU.

Beginnings of texts seen before are not read again, answers that copy their source guess ahead, grammars are obeyed.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.engines.base import GenerationOptions
from models.engines.lora import read_lora
from models.engines.openvino_batch import END, Batcher, Request
from models.engines.openvino_paged import EngineUnavailable, PagedModel, import_openvino

_CACHE_BYTES = 512 * 1024**2
_MOST_AT_ONCE = 8


class OpenVinoEngine:
    """Generates with one converted model; any number of threads may stream at once and share the hardware.

    Attributes:
        at_once: Answers that are made together; more wait for their turn.
        window: Most tokens of a prompt with its answer that the cache holds.
    """

    name = "openvino"

    def __init__(
        self,
        folder: Path,
        *,
        cache_bytes: int = _CACHE_BYTES,
        at_once: int = _MOST_AT_ONCE,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        """Opens a folder that `openvino_convert.convert` made.

        Args:
            folder: The converted model.
            cache_bytes: Most memory for the attention cache; it is taken as it fills.
            at_once: Answers that are made together.
            threads: CPU threads; None takes all that this process may use.
            precision: None for the CPU's fastest, or "careful" or "f32"; see PagedModel.

        Raises:
            EngineUnavailable: OpenVINO is not installed, or cannot run this model.
        """
        model = PagedModel(folder, cache_bytes=cache_bytes, threads=threads, precision=precision)
        self._batcher = Batcher(model, most_at_once=at_once)
        self._close = weakref.finalize(self, self._batcher.close)  # its thread would keep the model for ever
        self.at_once = at_once
        self.window = self._batcher.window

    def stream(
        self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event
    ) -> Generator[int, None, None]:
        """Yields answer ids; see `Engine.stream`.

        `logits_processor` and `prompt_lookup` are each request's own; others beside it are not touched.
        """
        yield from _read(self._batcher, Request(prompt_ids, options, cancel))

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits after each of `ids`, shape (length, vocabulary); for scores and for the parity check.

        Raises:
            PromptTooLong: the cache has not so much room now.
        """
        return self._batcher.logits(ids)

    def adapted(self, adapter: Path) -> AdaptedOpenVinoEngine:
        """This engine answering with a LoRA adapter; answers with others, and without, run beside in one batch.

        Taking it in compiles the program anew, while other answers wait.

        Raises:
            AdapterMismatch: the adapter does not belong to this model, or is of another kind.
        """
        return AdaptedOpenVinoEngine(self, self._batcher, self._batcher.add_adapter(read_lora(adapter)))

    def close(self) -> None:
        """Ends every answer and frees the model."""
        self._close()


class AdaptedOpenVinoEngine:
    """An OpenVINO engine's model with one adapter; the adapter goes with this object."""

    name = "openvino"

    def __init__(self, engine: OpenVinoEngine, batcher: Batcher, number: int) -> None:
        self.base = engine  # which closes when nobody holds it
        self._batcher = batcher
        self._number = number
        self.at_once = engine.at_once
        self.window = engine.window
        weakref.finalize(self, batcher.drop_adapter, number)

    def stream(
        self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event
    ) -> Generator[int, None, None]:
        """Yields answer ids; see `OpenVinoEngine.stream`."""
        yield from _read(self._batcher, Request(prompt_ids, options, cancel, self._number))

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits after each of `ids`; see `OpenVinoEngine.logits`."""
        return self._batcher.logits(ids, self._number)


def _read(batcher: Batcher, request: Request) -> Generator[int, None, None]:
    batcher.submit(request)
    ended = False
    try:
        while (piece := request.out.get()) is not END:
            if isinstance(piece, BaseException):
                ended = True
                raise piece
            if request.cancel.is_set():  # what was made before is not wanted any more
                return
            yield piece
        ended = True
    finally:
        # whoever leaves early, waits until the request is really gone: the scheduler counts on it
        request.left.set()
        while not ended:
            ended = isinstance(last := request.out.get(), BaseException) or last is END


def available() -> bool:
    """Whether the packages that converting and running need are installed here."""
    import importlib.util

    return all(importlib.util.find_spec(package) is not None for package in ("openvino", "nncf"))


__all__ = ["EngineUnavailable", "OpenVinoEngine", "available", "import_openvino"]
