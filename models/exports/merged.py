"""Whether an adapter merged into its base behaves as the adapter that serves: tokens and outputs of the probe texts."""

from __future__ import annotations

from pathlib import Path

import torch

from models.adapted import adapted_config, base_folder_of, is_adapted, put_together
from models.catalog import Entry
from models.engines.encoder_parity import EncoderParity
from models.engines.parity import ParityFailed, ParityReport, check_parity, probe_prompts, torch_logits
from models.exports.parts import head_part
from models.exports.programs import compare
from models.exports.whole import Whole
from models.files import read_config
from models.loading import load_tokenizer, model_from_files
from models.prepare import folder_of
from models.registry_checks import is_adapter
from models.registry_facts import weights_sha256
from models.tasks.roles import served_by


def check_merged(entry: Entry, merged: Path, home: Path) -> EncoderParity | ParityReport | None:
    """Holds a merged folder against the model that it was made from; None for a copy, whose bytes are compared.

    Raises:
        ParityFailed: tokens or outputs differ by more than the bounds.
    """
    folder = folder_of(entry, home)
    if not is_adapter(folder):
        if weights_sha256(merged) != weights_sha256(folder):
            raise ParityFailed(["its weights are not the model's, byte for byte"])
        return None
    if not is_adapted(folder):
        return _check_chat(entry, merged, home)
    base = base_folder_of(folder, home)
    served = put_together(folder, base, str(adapted_config(folder)["architectures"][0]), torch.float32).eval()
    _same_tokens(load_tokenizer(base), merged)
    part = head_part(Whole(entry.label, merged, served_by(read_config(merged))))
    return compare(part, lambda feed: part.with_module(served).outputs(feed))


def _check_chat(entry: Entry, merged: Path, home: Path) -> ParityReport:
    from models.chat_adapters import chat_source, load_adapted

    source = chat_source(entry, home)
    assert source.adapter is not None, f"{entry.label} is no adapter"
    loaded = load_adapted(
        source.adapter, source.folder, name=source.entry.label, chat_template=source.entry.chat_template
    )
    _same_tokens(loaded.tokenizer, merged)
    model, _ = model_from_files(merged, "AutoModelForCausalLM", loaded.choice.torch_dtype)
    model.to(loaded.choice.device).eval()
    prompts = probe_prompts(loaded.tokenizer)
    return check_parity(loaded.engine.logits, torch_logits(model), lambda ids: [], prompts)


def _same_tokens(served: object, merged: Path) -> None:
    if probe_prompts(served) != probe_prompts(load_tokenizer(merged)):
        raise ParityFailed(["its tokenizer or chat template gives other tokens for the probe texts"])
