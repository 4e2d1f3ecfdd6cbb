"""A converted model with its attention cache in blocks: token ids of many sequences in, next-token logits out.

Inference leaves the interpreter lock, so a page or another request goes on meanwhile. Nothing here knows requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.device import cpu_flags, usable_cores
from models.engines.lora import Lora
from models.engines.mapped import WeightPages
from models.engines.openvino_graph import WANTED, join_triples, keep_wanted_rows
from models.engines.openvino_lora import MASK, AdapterTable, add_lora
from models.errors import ModelError

BLOCK_TOKENS = 32  # what the CPU plugin's attention kernel takes
IR_FILE = "openvino_model.xml"
_CACHES = ("key_cache.", "value_cache.")
_FEEDS = {"input_ids", "position_ids", "past_lens", "subsequence_begins", "block_indices", "block_indices_begins"}
_FEEDS |= {"max_context_len", WANTED, MASK}
_WHOLE_ROW = 2**62  # one scale for each token's activations; the fused AMX kernels take no smaller group


class EngineUnavailable(ModelError):
    """The OpenVINO engine cannot run here, or not this; the torch engine can."""

    code = "engine_unavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"The OpenVINO engine cannot be used: {reason}; the torch engine serves this model as well.")


@dataclass(frozen=True)
class Row:
    """One sequence's part of a step.

    Attributes:
        ids: Its next token ids; their attention entries are written to the cache.
        past: How many of its tokens the cache holds already; entries beyond are overwritten.
        blocks: Numbers of its cache blocks in order, enough for `past + len(ids)` tokens.
        wanted: How many of the last ids' logits are wanted; 0 while a long prompt is read in pieces.
        adapter: The number of the adapter that it is read with; 0 for none.
    """

    ids: Sequence[int]
    past: int
    blocks: Sequence[int]
    wanted: int
    adapter: int = 0


class PagedModel:
    """One compiled model and its cache; one `run` at a time.

    Attributes:
        blocks: Blocks of the cache, each of BLOCK_TOKENS tokens.
        weight_bytes: Size of the weights.
    """

    def __init__(
        self,
        folder: Path,
        *,
        cache_bytes: int,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        """Reads and compiles the model.

        Args:
            folder: A folder that `openvino_convert.convert` made.
            cache_bytes: Most memory for the cache; it is taken as it fills.
            threads: CPU threads; None takes all that this process may use.
            precision: None takes what the CPU is fastest with; "careful" leaves activations in 16 bits where that would
                round them to 8 bits for each token; "f32" computes everything in float32.

        Raises:
            EngineUnavailable: OpenVINO is not installed, or cannot run this model.
        """
        self._ov = import_openvino()
        self._path, self._threads, self._precision = folder / IR_FILE, threads, precision
        self._table = AdapterTable({})
        self._request, self._inputs = self._compiled(self._table)
        self.weight_bytes = self._path.with_suffix(".bin").stat().st_size
        self.blocks, self._caches = self._allocate(cache_bytes)
        self._give_caches()

    def set_adapters(self, adapters: Mapping[int, Lora]) -> None:
        """Compiles the model anew with these adapters, each under a number above 0; what the cache holds stays.

        Raises:
            AdapterMismatch: an adapter does not fit; the model stays as it was.
        """
        table = AdapterTable(adapters)
        self._request, self._inputs = self._compiled(table)
        self._table = table
        self._give_caches()

    def run(self, rows: Sequence[Row]) -> npt.NDArray[np.float32]:
        """The logits of each row's last `wanted` ids, row after row, shape (sum of wanted, vocabulary).

        The array is the runtime's own: it holds until the next run.
        """
        lengths = np.array([len(row.ids) for row in rows], np.int32)
        ends = np.cumsum(lengths, dtype=np.int32)
        used = [row.blocks[: -(-(row.past + len(row.ids)) // BLOCK_TOKENS)] for row in rows]
        wanted = [np.arange(end - row.wanted, end, dtype=np.int64) for row, end in zip(rows, ends, strict=True)]
        feeds = {
            "input_ids": np.concatenate([np.asarray(row.ids, np.int64) for row in rows]),
            "position_ids": np.concatenate([np.arange(r.past, r.past + len(r.ids), dtype=np.int64) for r in rows]),
            "past_lens": np.array([row.past for row in rows], np.int32),
            "subsequence_begins": np.concatenate([[0], ends]).astype(np.int32),
            "block_indices": np.concatenate([np.asarray(blocks, np.int32) for blocks in used]),
            "block_indices_begins": np.concatenate([[0], np.cumsum([len(blocks) for blocks in used])]).astype(np.int32),
            "max_context_len": np.array(max(row.past + len(row.ids) for row in rows), np.int32),
            # something must be computed even when no row wants anything yet
            WANTED: np.concatenate(wanted) if any(map(len, wanted)) else np.zeros(1, np.int64),
        }
        if MASK in self._inputs:
            feeds[MASK] = self._table.mask(np.repeat([row.adapter for row in rows], lengths))
        # by hand, as the package's own `infer(feeds)` costs a twentieth of a token's time
        self._feeds = [self._ov.Tensor(feeds[name], shared_memory=True) for name in self._inputs]
        for name, tensor in zip(self._inputs, self._feeds, strict=True):
            self._request.set_tensor(name, tensor)
        self._request.infer()
        self._pages.after_run()
        logits: npt.NDArray[np.float32] = self._request.get_output_tensor(0).data.reshape(len(feeds[WANTED]), -1)
        return logits

    def _compiled(self, table: AdapterTable) -> tuple[Any, list[str]]:
        """A request of the model with these adapters, and the names of its inputs but the caches."""
        try:
            core = self._ov.Core()
            model = self._prepared(core, table)
            compiled = core.compile_model(model, "CPU", self._properties(core))
        except RuntimeError as error:
            raise EngineUnavailable(" ".join(str(error).split())[-300:]) from error
        names = [port.get_any_name() for port in compiled.inputs]
        inputs = [name for name in names if not name.startswith(_CACHES)]
        if unknown := set(inputs) - _FEEDS:
            raise EngineUnavailable(f"its program wants {', '.join(sorted(unknown))}, which Hearth does not know")
        self._pages = WeightPages(self._path)
        return compiled.create_infer_request(), inputs

    def _prepared(self, core: Any, table: AdapterTable) -> Any:
        passes = import_module("openvino._offline_transformations")

        model = core.read_model(str(self._path))
        add_lora(model, table)
        join_triples(model)
        passes.paged_attention_transformation(model)
        if not keep_wanted_rows(model):
            raise EngineUnavailable("the program's logits do not come from a matrix product")
        return model

    def _properties(self, core: Any) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads or usable_cores(),
        }
        if self._precision == "f32":
            return properties | {
                "INFERENCE_PRECISION_HINT": "f32",
                "KV_CACHE_PRECISION": "f32",
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            }
        if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            properties["KV_CACHE_PRECISION"] = "bf16"
        # with one thread these kernels divide by zero, which ends the process (OpenVINO 2026.4)
        if self._precision is None and "amx_int8" in cpu_flags() and properties["INFERENCE_NUM_THREADS"] > 1:
            properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = _WHOLE_ROW
        return properties

    def _allocate(self, cache_bytes: int) -> tuple[int, dict[str, Any]]:
        """How many blocks the cache has, and its tensors; the system hands out their memory only as it is written."""
        ports = [port for port in self._request.model_inputs if port.get_any_name().startswith(_CACHES)]
        shapes = [[side.get_length() for side in list(port.get_partial_shape())[1:]] for port in ports]
        block_bytes = sum(
            int(np.prod(shape)) * port.get_element_type().size for shape, port in zip(shapes, ports, strict=True)
        )
        blocks = max(2, int(cache_bytes // block_bytes))
        return blocks, {
            port.get_any_name(): self._ov.Tensor(port.get_element_type(), self._ov.Shape([blocks, *shape]))
            for shape, port in zip(shapes, ports, strict=True)
        }

    def _give_caches(self) -> None:
        for name, tensor in self._caches.items():
            self._request.set_tensor(name, tensor)


def import_openvino() -> Any:
    """The openvino package.

    Raises:
        EngineUnavailable: it is not installed.
    """
    try:
        import_module("openvino.opset13")
        return import_module("openvino")
    except ImportError as error:
        raise EngineUnavailable("the package openvino is not installed here") from error
