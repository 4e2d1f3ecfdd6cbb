"""Runs a converted encoder: token ids of many texts in, one row of numbers for each out (a vector, or scores).

Texts of like length share a batch, and each core works on a batch of its own.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.device import usable_cores
from models.engines.mapped import WeightPages
from models.engines.openvino_paged import IR_FILE, EngineUnavailable, import_openvino

# Measured with MiniLM on two cores: batches of 500 to 2,000 tokens are equally quick, and a short one lets a question
# that is asked during an ingest come in between. Two streams of one thread do a sixth more than one of two threads.
_BATCH_TOKENS = 1024
_BATCH_ROWS = 64
_LENGTH_STEP = 8  # lengths are rounded up to it: each new shape costs the runtime some preparation

Inputs = Mapping[str, Sequence[int]]
"""A text as the model's inputs, one list of the same length each; `input_ids` and `attention_mask` at least."""


class OpenVinoEncoder:
    """One compiled encoder; any number of threads may call it at once."""

    def __init__(self, folder: Path, *, window: int, threads: int | None = None, precision: str | None = None) -> None:
        """Opens a folder that `openvino_convert.convert` made.

        Args:
            folder: The converted model.
            window: Most tokens of a text that the model reads, special tokens counted.
            threads: CPU threads; None takes all that this process may use.
            precision: None for the CPU's fastest (bfloat16 where it has it), or "f32".

        Raises:
            EngineUnavailable: OpenVINO is not installed, or cannot run this model.
        """
        openvino = import_openvino()
        streams = threads or usable_cores()
        properties: dict[str, Any] = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}
        if precision is not None:
            properties["INFERENCE_PRECISION_HINT"] = precision
        try:
            compiled = openvino.Core().compile_model(str(folder / IR_FILE), "CPU", properties)
        except RuntimeError as error:
            raise EngineUnavailable(" ".join(str(error).split())[-300:]) from error
        self._pages = WeightPages(folder / IR_FILE)
        self._names = [port.get_any_name() for port in compiled.inputs]
        self._window = window
        self._streams = streams
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams + 1):  # one more than work at a time, so that a question need not wait for a batch's end
            self._requests.put(compiled.create_infer_request())

    def run(self, texts: Sequence[Inputs], pad_ids: Mapping[str, int]) -> npt.NDArray[np.float32]:
        """One row for each text, in order, shape (texts, width).

        Args:
            texts: At least one text.
            pad_ids: What fills up each input; 0 where it names none.
        """
        batches = list(batches_by_length([len(text["input_ids"]) for text in texts]))

        def rows(batch: list[int]) -> npt.NDArray[np.float32]:
            return self._infer([texts[index] for index in batch], pad_ids)

        if len(batches) == 1:
            found = [rows(batches[0])]
        else:
            with ThreadPoolExecutor(self._streams, "hearth-encoder") as pool:
                found = list(pool.map(rows, batches))
        out = np.empty((len(texts), found[0].shape[1]), np.float32)
        for batch, part in zip(batches, found, strict=True):
            out[batch] = part
        return out

    def _infer(self, texts: Sequence[Inputs], pad_ids: Mapping[str, int]) -> npt.NDArray[np.float32]:
        longest = max(len(text["input_ids"]) for text in texts)
        length = max(longest, min(self._window, -(-longest // _LENGTH_STEP) * _LENGTH_STEP))
        feeds = {name: _padded([text[name] for text in texts], length, pad_ids.get(name, 0)) for name in self._names}
        request = self._requests.get()
        try:
            request.infer(feeds, share_inputs=True)
            found: npt.NDArray[np.float32] = request.get_output_tensor(0).data.copy()
            self._pages.after_run()
        finally:
            self._requests.put(request)
        return found


def batches_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indexes of the texts, longest first, in batches bounded in rows and in tokens with padding."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        rows = max(1, min(_BATCH_ROWS, _BATCH_TOKENS // max(1, lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def _padded(rows: Sequence[Sequence[int]], length: int, fill: int) -> npt.NDArray[np.int64]:
    found = np.full((len(rows), length), fill, np.int64)
    for target, row in zip(found, rows, strict=True):
        target[: len(row)] = row
    return found
