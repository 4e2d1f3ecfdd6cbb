"""The torch engine: transformers' own `generate`, run in a worker thread and read token by token.

It serves every causal model that transformers knows, on any device.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from models.engines.base import GenerationOptions
from models.engines.lora import Lora
from models.engines.torch_lora import TorchLora

_LOOKUP_TOKENS = 10
_LOOKUP_NGRAM = 3
_END = object()


class TorchEngine:
    """Generates with one loaded model, one request at a time; a second caller waits for the first."""

    name = "torch"

    def __init__(self, model: Any, *, lora: TorchLora | None = None, turn: threading.Lock | None = None) -> None:
        self._model = model
        self._lora = lora
        self._turn = turn or threading.Lock()
        self._layers = _decoder_layers(model)

    def adapted(self, layers: Lora) -> TorchEngine:
        """An engine that answers with a LoRA adapter over the same model; the two take turns.

        Raises:
            AdapterMismatch: the adapter does not belong to this model.
        """
        return TorchEngine(self._model, lora=TorchLora(self._model, layers), turn=self._turn)

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """The logits after each of `ids`, shape (length, vocabulary); for scores and for the parity check."""
        with self._turn, torch.inference_mode(), self._adapter():
            output = self._model(torch.tensor([list(ids)], device=self._model.device)).logits[0]
        values: npt.NDArray[np.float32] = output.float().cpu().numpy()
        return values

    def _adapter(self) -> AbstractContextManager[None]:
        return self._lora.active() if self._lora is not None else nullcontext()

    def stream(
        self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event
    ) -> Generator[int, None, None]:
        """Yields answer ids; see `Engine.stream`.

        The prompt is read layer by layer with `cancel` looked at between layers, so a Stop ends even a long prefill.
        """
        pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stop = _Stop(cancel)
        arguments = (list(prompt_ids), options, pieces, stop)
        worker = threading.Thread(target=self._work, args=arguments, name="hearth-generate", daemon=True)
        worker.start()
        try:
            while (piece := pieces.get()) is not _END:
                if isinstance(piece, BaseException):
                    raise piece
                for token in piece:
                    if token in options.stop_token_ids:
                        return
                    yield token
        finally:
            # whoever leaves early, waits until the model is really free: the scheduler counts on it
            stop.now.set()
            worker.join()

    def _work(
        self, prompt_ids: list[int], options: GenerationOptions, pieces: queue.SimpleQueue[Any], stop: _Stop
    ) -> None:
        try:
            with self._turn, torch.inference_mode(), _seeded(options.seed), self._adapter():
                if not stop.wanted():
                    self._generate(prompt_ids, options, pieces, stop)
        except _Stopped:
            pass
        except BaseException as error:  # every failure belongs to the reader, as itself
            pieces.put(error)
        finally:
            pieces.put(_END)

    def _generate(
        self, prompt_ids: list[int], options: GenerationOptions, pieces: queue.SimpleQueue[Any], stop: _Stop
    ) -> None:
        inputs = torch.tensor([prompt_ids], device=self._model.device)
        streamer = _Streamer(pieces)
        # hooks are set for the prefill only: at decode they would cost every layer of every token
        hooks = [layer.register_forward_pre_hook(stop.check) for layer in self._layers]
        streamer.on_first = lambda: [hook.remove() for hook in hooks]
        processors = [options.logits_processor] if options.logits_processor is not None else []
        try:
            self._model.generate(
                inputs,
                attention_mask=torch.ones_like(inputs),
                generation_config=_config(self._model, options),
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList([stop]),
                streamer=streamer,
            )
        finally:
            for hook in hooks:
                hook.remove()


class _Stopped(Exception):
    """Ends a prefill from inside the model."""


class _Stop(StoppingCriteria):
    """Says whether the caller, or the reader who left, wants the generation to end."""

    def __init__(self, cancel: threading.Event) -> None:
        self.cancel = cancel
        self.now = threading.Event()

    def wanted(self) -> bool:
        return self.cancel.is_set() or self.now.is_set()

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.wanted(), device=input_ids.device, dtype=torch.bool)

    def check(self, module: Any, inputs: Any) -> None:
        """A forward hook: leaves the model at once."""
        if self.wanted():
            raise _Stopped


class _Streamer:
    """Takes what `generate` hands out: the prompt first, then one or, with prompt lookup, several tokens at a time."""

    def __init__(self, pieces: queue.SimpleQueue[Any]) -> None:
        self._pieces = pieces
        self._prompt_seen = False
        self._first_seen = False
        self.on_first: Any = lambda: None

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        if not self._first_seen:
            self._first_seen = True
            self.on_first()
        self._pieces.put(value.flatten().tolist())

    def end(self) -> None:
        pass


def _config(model: Any, options: GenerationOptions) -> GenerationConfig:
    sampling = options.temperature > 0
    stops = list(options.stop_token_ids)
    values: dict[str, Any] = {
        "max_new_tokens": options.max_new_tokens,
        "do_sample": sampling,
        "num_beams": 1,
        "use_cache": True,
        "eos_token_id": stops or None,
        "pad_token_id": stops[0] if stops else 0,
    }
    if sampling:
        values |= {"temperature": options.temperature, "top_p": options.top_p, "top_k": options.top_k}
    if options.prompt_lookup and options.logits_processor is None:
        values |= {"prompt_lookup_num_tokens": _LOOKUP_TOKENS, "max_matching_ngram_size": _LOOKUP_NGRAM}
    return GenerationConfig(**values)  # type: ignore[no-untyped-call]


def _decoder_layers(model: Any) -> list[Any]:
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max((list(layers) for layers in lists), key=len, default=[])


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Draws from a random state of its own when a seed is given, and leaves the process's state as it was."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
