"""What of a model is traced and compared: a torch module that takes tensors by name, and the inputs of the probe texts.

Everything is in float32 on the CPU, so that an export can be held against it closely.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from models.encoder_files import encoder_folder
from models.engines import encoder_parity
from models.engines.parity import PROBES
from models.exports.whole import Whole
from models.files import read_config
from models.loading import load_embeddings, load_tokenizer, model_from_files
from models.tasks.base import window_tokens

Feed = Mapping[str, npt.NDArray[Any]]
Kind = Literal["vectors", "probabilities"]

HEADS = {
    "classify": "AutoModelForSequenceClassification",
    "entities": "AutoModelForTokenClassification",
    "extract": "AutoModelForQuestionAnswering",
    "fill-mask": "AutoModelForMaskedLM",
    "translate": "AutoModelForSeq2SeqLM",
    "translate or summarize": "AutoModelForSeq2SeqLM",
}
_OUTPUTS = {"extract": ("start_logits", "end_logits"), "embed": ("last_hidden_state",)}
# Two rows with real padding: with one row, or none padded, an exporter freezes the batch and drops the mask.
_SAMPLE = {"input_ids": [[1, 2, 3, 0, 0], [1, 2, 3, 1, 2]], "attention_mask": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]}
_DECODED = [[0, 1, 2], [0, 2, 3]]
_FEW = 8  # probe texts where every token gives a row as long as the vocabulary


@dataclass(frozen=True)
class Part:
    """A module with its sample inputs, its probe inputs (one text each), and what its outputs are."""

    module: Any
    sample: dict[str, torch.Tensor]
    probes: list[Feed]
    kind: Kind
    names: tuple[str, ...]

    def outputs(self, feed: Feed) -> list[npt.NDArray[np.float32]]:
        """The module's own outputs for one probe, in the order of `names`."""
        with torch.inference_mode():
            found = self.module(**{name: torch.from_numpy(value) for name, value in feed.items()})
        values = [found] if isinstance(found, torch.Tensor) else [found[name] for name in self.names]
        return [value.float().numpy() for value in values]

    def with_module(self, module: Any) -> Part:
        """The same inputs for another module."""
        return replace(self, module=module)


def head_part(whole: Whole) -> Part:
    """A model with a head for one task, an encoder-decoder or a bare encoder, as one graph without a cache."""
    config = read_config(whole.folder)
    model, _ = model_from_files(whole.folder, HEADS.get(whole.serves, "AutoModel"), torch.float32)
    model.eval()
    tokenizer = load_tokenizer(whole.folder)
    takes = inspect.signature(model.forward).parameters
    inputs = [name for name in tokenizer.model_input_names if name in takes]
    sample = {name: torch.tensor(_SAMPLE.get(name, [[0] * 5] * 2)) for name in inputs}
    decodes = bool(config.get("is_encoder_decoder"))
    wide = decodes or whole.serves == "fill-mask"
    if decodes:
        model.config.use_cache = False
        sample["decoder_input_ids"] = torch.tensor(_DECODED)
    window = window_tokens(tokenizer, config)
    texts = list(PROBES[:_FEW]) if wide else encoder_parity.texts(window)
    pairs = texts[::-1] if whole.serves == "extract" else None
    encoded = tokenizer(texts, pairs, truncation="longest_first", max_length=window, verbose=False)
    probes = [{name: np.array([encoded[name][at]], np.int64) for name in inputs} for at in range(len(texts))]
    if decodes:  # the beginning of the text itself, as if it were the answer so far
        probes = [feed | {"decoder_input_ids": feed["input_ids"][:, :6]} for feed in probes]
    names = _OUTPUTS.get(whole.serves, ("logits",))
    return Part(model, sample, list(probes), "vectors" if whole.serves == "embed" else "probabilities", names)


def vector_part(whole: Whole) -> Part:
    """A sentence encoder with its own pooling, giving vectors of length 1."""
    from models.encoder_files import EncoderFiles
    from models.engines.torch_modules import SentenceModule

    reference = load_embeddings(whole.folder, name=whole.name, batch_size=1, exact=True)
    files = EncoderFiles(whole.folder)
    tokenizer = files.new_tokenizer()
    tokenizer.enable_truncation(files.window)
    encoded = [tokenizer.encode(text).ids for text in encoder_parity.texts(files.window)]
    probes: list[Feed] = [
        {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, len(ids)), np.int64)} for ids in encoded
    ]
    sample = {name: torch.tensor(rows) for name, rows in _SAMPLE.items()}
    return Part(SentenceModule(reference._client), sample, probes, "vectors", ("vectors",))


def part_of(whole: Whole) -> Part | None:
    """What of a model is one graph; None for chat models, which keep a cache, and for models of other kinds."""
    if whole.serves in HEADS:
        return head_part(whole)
    if whole.serves == "embed" and encoder_folder(whole.folder).is_dir():
        return vector_part(whole)
    return None


def stacked(outputs: list[list[npt.NDArray[np.float32]]]) -> npt.NDArray[np.float32]:
    """Several probes' outputs as rows of one table: a row for each text or token, shape (rows, widest)."""
    tables = [value.reshape(-1, value.shape[-1]) for one in outputs for value in one]
    width = max(table.shape[1] for table in tables)
    # a row over a text's tokens is as long as the text; what is not there has no probability
    filled = [np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=-1e9) for table in tables]
    return np.concatenate(filled).astype(np.float32)
