"""A task's adapter on its converted base: heads are torch's, the layers below OpenVINO's, one copy for all adapters.

It serves so once a parity check against torch in float32 has passed; torch serves until then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from models.adapted import adapted_config, put_together
from models.engines import encoder_parity
from models.engines.adapter_note import AdapterNote
from models.engines.choice import ConvertedChoice, encoder_choice
from models.engines.encoder_parity import EncoderParity, Rows
from models.engines.lora import layers_of, read_adapter
from models.engines.openvino_paged import EngineUnavailable
from models.engines.openvino_states import AdaptedStates, OpenVinoStates
from models.errors import ModelError
from models.files import read_config

_PROBES_AT_ONCE = 4


class _Program(torch.nn.Module):
    """Stands where an encoder stood; a pooler stays torch's."""

    def __init__(self, states: AdaptedStates, pooler: torch.nn.Module | None) -> None:
        super().__init__()
        self._states, self.pooler, self.device = states, pooler, torch.device("cpu")

    def forward(self, input_ids: torch.Tensor, **inputs: Any) -> BaseModelOutputWithPooling:
        given = {"input_ids": input_ids, **inputs}
        feeds = {name: value.numpy() for name, value in given.items() if isinstance(value, torch.Tensor)}
        states: Any = torch.from_numpy(self._states(feeds))
        pooled = self.pooler(states) if self.pooler is not None else None
        return BaseModelOutputWithPooling(last_hidden_state=states, pooler_output=pooled)


def adapted_encoder(adapter: Path, base: Path, auto_class: str, home: Path) -> Any | None:
    """The adapted model with its encoder on OpenVINO; None where torch serves it.

    Args:
        adapter: A task's adapter.
        base: The folder of its base.
        auto_class: The transformers class of the adapted model.
        home: The data folder, where the converted base is looked for.
    """
    choice = _choice(base, home)
    noted = AdapterNote(choice.folder, adapter).read()
    if noted is None or "message" in noted or (states := choice.converted()) is None:
        return None
    return _on_program(put_together(adapter, base, auto_class, torch.float32), adapter, states)


def convert_adapted(adapter: Path, base: Path, home: Path, *, name: str) -> Path:
    """Converts an adapter's base where that is not done, and checks the adapter on it; gives the converted base.

    Raises:
        EngineUnavailable, DoesNotFit, ConversionFailed, ParityFailed: torch goes on serving it.
    """
    from models.engines.openvino_convert import convert

    converted = convert(base, home, name=f"{name}'s base", form="states")
    note = AdapterNote(converted, adapter)
    if "report" in (note.read() or {}):
        return converted
    try:
        report = check_adapted(adapter, base, home)
    except (ModelError, RuntimeError) as error:  # what OpenVINO raises is a RuntimeError
        problem = error if isinstance(error, ModelError) else EngineUnavailable(" ".join(str(error).split())[-300:])
        note.write({"message": str(problem)})
        raise problem from error
    note.write({"report": report.to_json()})
    return converted


def check_adapted(adapter: Path, base: Path, home: Path) -> EncoderParity:
    """Holds the adapter on OpenVINO against torch in float32.

    Raises:
        EngineUnavailable: its base is not converted. AdapterMismatch, ParityFailed: it is another model there.
    """
    from models.loading import load_tokenizer
    from models.tasks.base import window_tokens

    config, states = adapted_config(adapter), _choice(base, home).demanded()
    auto_class = str((config.get("architectures") or ["AutoModel"])[0])
    reference = put_together(adapter, base, auto_class, torch.float32).eval()
    tokenizer = load_tokenizer(base)
    window = window_tokens(tokenizer, config)
    texts = encoder_parity.texts(window)
    rows = [
        tokenizer(*pair, truncation="longest_first", max_length=window, verbose=False)
        for pair in zip(texts, texts[::-1], strict=True)
    ]
    wanted = [found for row in rows for found in _outputs(reference, tokenizer, [row])]
    served = _on_program(reference, adapter, states)
    starts = range(0, len(rows), _PROBES_AT_ONCE)
    found = [one for at in starts for one in _outputs(served, tokenizer, rows[at : at + _PROBES_AT_ONCE])]
    if "last_hidden_state" in wanted[0]:
        sides = ([one["last_hidden_state"] for one in side] for side in (wanted, found))
        return encoder_parity.check_states(*sides)
    pairs = [(one[key], other[key]) for one, other in zip(wanted, found, strict=True) for key in one]
    return encoder_parity.check_all_scores(pairs)


def _on_program(model: Any, adapter: Path, states: OpenVinoStates) -> Any:
    """The model with its encoder taken out, and the program with the adapter's layers in its place."""
    settings, tensors = read_adapter(adapter)
    prefix = model.base_model_prefix
    layers = {name.removeprefix(f"{prefix}."): layer for name, layer in layers_of(adapter, settings, tensors).items()}
    # what else it adds to, a pooler, is not in the program and was added where it is
    program = states.adapted({name: layer for name, layer in layers.items() if name in states.places})
    stands = _Program(program, getattr(model.base_model, "pooler", None))
    if model.base_model is model:
        return stands
    setattr(model, prefix, stands)
    for kept in model.parameters():  # all were read as views of one block, which would stay for these few
        kept.data = kept.data.clone()
    return model.eval()


def _outputs(model: Any, tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Rows]]:
    """What a model says of each text: scores of shape (1, classes or tokens), or states of shape (tokens, size)."""
    batch = tokenizer.pad(list(rows), padding=True, return_tensors="pt")
    with torch.inference_mode():
        output = model(**batch)
    found = []
    for at, row in enumerate(rows):
        length = len(row["input_ids"])
        if "last_hidden_state" in output:
            found.append({"last_hidden_state": output.last_hidden_state[at, :length].float().numpy()})
        elif "start_logits" in output:
            sides = {key: output[key][at : at + 1, :length] for key in ("start_logits", "end_logits")}
            found.append({key: value.float().numpy() for key, value in sides.items()})
        else:
            logits = output.logits[at : at + 1]
            found.append({"logits": (logits if logits.dim() == 2 else logits[0, :length]).float().numpy()})
    return found


def _choice(base: Path, home: Path) -> ConvertedChoice[OpenVinoStates]:
    def open_converted(folder: Path) -> OpenVinoStates:
        from models.loading import load_tokenizer
        from models.tasks.base import window_tokens

        return OpenVinoStates(folder, window=window_tokens(load_tokenizer(base), read_config(base)))

    return encoder_choice(base, home, base.name, "states", open_converted)
