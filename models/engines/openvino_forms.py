"""The forms in which OpenVINO serves a model: as a chat model, as vectors of texts, as scores of texts, and as states
of tokens, on which the adapters of tasks stand.

Each fills a folder with the program and the report of its parity check, and raises where that check fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.engines import encoder_parity
from models.engines.base import GenerationOptions
from models.engines.encoder_parity import EncoderParity
from models.engines.openvino_paged import IR_FILE, import_openvino
from models.engines.parity import ANSWER_TOKENS, ParityReport, check_parity, probe_prompts, torch_logits

FormName = Literal["chat", "vectors", "scores", "states"]

_TRIAL_CACHE_BYTES = 64 * 1024**2
_REFERENCE_BATCH = 8
_READ = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Form:
    """Where a form's folder lies beside the model, and its recipe, raised when that changes so that it is made anew."""

    suffix: str
    recipe: str


FORMS: dict[FormName, Form] = {
    "chat": Form("openvino-int8", "2"),
    "vectors": Form("openvino-vectors", "1"),
    "scores": Form("openvino-scores", "1"),
    "states": Form("openvino-states", "1"),
}


_FORM_OF_ROLE: dict[str, FormName] = {
    "chat": "chat",
    "embed": "vectors",
    "classify": "scores",
    "rerank": "scores",
    "support": "scores",
}


def form_of(folder: Path, role: str | None) -> FormName:
    """The form that suits a model: by its role where that is known, else by the architecture its files name.

    Raises:
        WrongRole: there is none for such a model; torch serves it.
    """
    from models.catalog import DEFAULTS
    from models.encoder_files import encoder_folder
    from models.errors import WrongRole
    from models.files import read_config
    from models.tasks.roles import served_by

    serves = role or served_by(read_config(encoder_folder(folder)))
    if (found := _FORM_OF_ROLE.get(serves)) is None:
        raise WrongRole(folder.name, wanted="chat, embed or classify", serves=serves, default=DEFAULTS["chat"].name)
    return found


def fill(form: FormName, target: Path, folder: Path, name: str) -> None:
    """Writes the converted model of `folder` into `target`.

    Raises:
        ConversionFailed: the model cannot be converted.
        ParityFailed: it behaves differently then.
    """
    writers = {"chat": _write_chat, "vectors": _write_vectors, "scores": _write_scores, "states": _write_states}
    writers[form](target, folder, name)
    check(form, target, folder, name).save(target)


def check(form: FormName, converted: Path, folder: Path, name: str) -> ParityReport | EncoderParity:
    """Holds a converted model against the one in `folder`.

    Raises:
        ParityFailed: it behaves differently.
    """
    checks: dict[FormName, Callable[[Path, Path, str], ParityReport | EncoderParity]] = {
        "chat": _check_chat,
        "vectors": _check_vectors,
        "scores": _check_scores,
        "states": _check_states,
    }
    return checks[form](converted, folder, name)


def _write_chat(target: Path, folder: Path, name: str) -> None:
    from models.engines.openvino_export import export_int8
    from models.loading import load_chat

    loaded = load_chat(folder, name=name)
    _save(export_int8(loaded.model, probe_prompts(loaded.tokenizer), name=name), target)


def _check_chat(converted: Path, folder: Path, name: str) -> ParityReport:
    from models.engines.openvino import OpenVinoEngine
    from models.loading import load_chat

    loaded = load_chat(folder, name=name)
    options = GenerationOptions(max_new_tokens=ANSWER_TOKENS, stop_token_ids=loaded.stop_token_ids)
    with closing(OpenVinoEngine(converted, cache_bytes=_TRIAL_CACHE_BYTES)) as engine:

        def answer(prompt: Sequence[int]) -> list[int]:
            return list(engine.stream(prompt, options, threading.Event()))

        return check_parity(torch_logits(loaded.model), engine.logits, answer, probe_prompts(loaded.tokenizer))


def _write_vectors(target: Path, folder: Path, name: str) -> None:
    from models.engines.openvino_export import export_encoder
    from models.engines.torch_modules import SentenceModule
    from models.loading import load_embeddings

    module = SentenceModule(load_embeddings(folder, name=name, batch_size=_REFERENCE_BATCH, exact=True)._client)
    _save(export_encoder(module, ("input_ids", "attention_mask"), name=name), target)


def _check_vectors(converted: Path, folder: Path, name: str) -> EncoderParity:
    from models.encoder_files import EncoderFiles
    from models.engines.openvino_sentences import ConvertedSentenceEncoder
    from models.loading import load_embeddings

    reference = load_embeddings(folder, name=name, batch_size=_REFERENCE_BATCH, exact=True)
    files = EncoderFiles(folder)
    texts = encoder_parity.texts(files.window)
    candidate = ConvertedSentenceEncoder(files, converted)
    wanted = reference.embed_documents(texts) + [reference.embed_query(text) for text in texts]
    found = [candidate.documents(texts), *(candidate.query(text)[None] for text in texts)]
    return encoder_parity.check_vectors(np.array(wanted, np.float32), np.concatenate(found))


def _write_scores(target: Path, folder: Path, name: str) -> None:
    from models.engines.openvino_export import export_encoder
    from models.engines.torch_modules import ScoreModule

    model, _, rows = _score_probes(folder, name)
    _save(export_encoder(ScoreModule(model), list(rows[0]), name=name), target)


def _check_scores(converted: Path, folder: Path, name: str) -> EncoderParity:
    from models.engines.openvino_encoder import OpenVinoEncoder
    from models.engines.torch_modules import torch_scores
    from models.files import read_config
    from models.tasks.base import window_tokens

    model, tokenizer, rows = _score_probes(folder, name)
    candidate = OpenVinoEncoder(converted, window=window_tokens(tokenizer, read_config(folder)))
    found = candidate.run(rows, {"input_ids": int(tokenizer.pad_token_id or 0)})
    return encoder_parity.check_scores(torch_scores(model, rows), found)


def _write_states(target: Path, folder: Path, name: str) -> None:
    from models.engines.openvino_export import export_encoder
    from models.engines.torch_modules import StatesModule
    from models.loading import load_tokenizer

    model = _plain_encoder(folder)
    inputs = [key for key in load_tokenizer(folder).model_input_names if key in _READ]
    _save(export_encoder(StatesModule(model), inputs, name=name, linears=model), target)


def _check_states(converted: Path, folder: Path, name: str) -> EncoderParity:
    import torch

    from models.engines.openvino_states import OpenVinoStates
    from models.files import read_config
    from models.loading import load_tokenizer
    from models.tasks.base import window_tokens

    model, tokenizer = _plain_encoder(folder), load_tokenizer(folder)
    window = window_tokens(tokenizer, read_config(folder))
    candidate = OpenVinoStates(converted, window=window).adapted({})
    sides: tuple[list[Any], list[Any]] = ([], [])
    for text in encoder_parity.texts(window):
        inputs = tokenizer(text, truncation=True, max_length=window, return_tensors="pt", verbose=False)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state[0].numpy()
        sides[0].append(states)
        sides[1].append(candidate({key: value.numpy() for key, value in inputs.items()})[0])
    return encoder_parity.check_states(*sides)


def _plain_encoder(folder: Path) -> Any:
    """The encoder in float32, without a pooler, which no task reads unless it has trained one."""
    import torch

    from models.loading import model_from_files

    model, _ = model_from_files(folder, "AutoModel", torch.float32)
    if hasattr(model, "pooler"):
        model.pooler = None
    return model.eval()


def _score_probes(folder: Path, name: str) -> tuple[Any, Any, list[dict[str, Any]]]:
    """A classifier, its tokenizer, and the inputs of pairs of probe texts."""
    from models.files import read_config
    from models.loading import load_part, load_tokenizer
    from models.tasks.base import window_tokens

    model = load_part(folder, name=name, model_class="AutoModelForSequenceClassification", fast=False).cpu()
    tokenizer = load_tokenizer(folder)
    window = window_tokens(tokenizer, read_config(folder))
    texts = encoder_parity.texts(window)
    encoded = tokenizer(texts, texts[::-1], truncation="longest_first", max_length=window, verbose=False)
    names = [key for key in tokenizer.model_input_names if key in encoded]
    return model, tokenizer, [{key: encoded[key][at] for key in names} for at in range(len(texts))]


def _save(program: Any, target: Path) -> None:
    import_openvino().save_model(program, str(target / IR_FILE), compress_to_fp16=False)
