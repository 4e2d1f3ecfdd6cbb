"""What happens in a model while it reads a text: tokens, hidden states, attention, and what it would say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BrokenModel
from models.inspection.blocks import architecture_of
from models.scheduler import process_scheduler
from models.tasks.base import as_texts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOP = 10
_WRITTEN = 16  # tokens that a model of two halves writes, so that its second half has something to look at


@dataclass(frozen=True)
class Token:
    """A token of the text; `start` and `end` are its place in it, None where the tokenizer does not say.

    `shown` is what a person reads: the text at that place, or the token's own name where it has none.
    """

    id: int
    token: str
    shown: str
    start: int | None
    end: int | None
    special: bool


@dataclass(frozen=True)
class Layer:
    """The hidden states after one layer, 0 being the embeddings; `mean_norm` is the mean length of a token's vector."""

    stack: str
    layer: int
    shape: tuple[int, ...]
    mean_norm: float


@dataclass(frozen=True)
class AttentionMaps:
    """The attention of one kind: `weights` of shape (layers, heads, rows, columns), each row adding up to 1.

    A row is the token that looks, a column the token looked at.
    """

    kind: str
    weights: NDArray[np.float32]
    rows: tuple[str, ...]
    columns: tuple[str, ...]

    def entropy_bits(self) -> NDArray[np.float32]:
        """How spread each head looks, mean over its rows: 0 is at one token, log2(columns) evenly; (layers, heads)."""
        import numpy as np

        logs = np.log2(self.weights, where=self.weights > 0, out=np.zeros_like(self.weights))
        spread: NDArray[np.float32] = -(self.weights * logs).sum(-1).mean(-1)
        return spread


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it.

    `tokens_total` is how many tokens the text has; only the first of them are in `tokens` where it is longer than what
    was asked for. `likeliest` are labels of a classifier, next tokens of a language model or tokens for a gap, with
    probabilities; `written` is what a model of two halves answers.
    """

    tokens: tuple[Token, ...]
    tokens_total: int
    layers: tuple[Layer, ...]
    attention: tuple[AttentionMaps, ...]
    likeliest: tuple[tuple[str, float], ...]
    written: str | None

    def to_json(self, *, weights: bool = False) -> dict[str, Any]:
        """All fields; the attention as shapes and entropies, with its numbers where `weights` is true."""
        return {
            "tokens": [asdict(token) for token in self.tokens],
            "tokens_total": self.tokens_total,
            "hidden_states": [asdict(layer) | {"shape": list(layer.shape)} for layer in self.layers],
            "attention": [
                {
                    "kind": maps.kind,
                    "shape": list(maps.weights.shape),
                    "entropy_bits": [[round(float(bits), 4) for bits in row] for row in maps.entropy_bits()],
                }
                | ({"weights": maps.weights.round(5).tolist()} if weights else {})
                for maps in self.attention
            ],
            "likeliest": [{"text": text, "score": score} for text, score in self.likeliest],
            "written": self.written,
        }


def read_text(folder: Path, *, name: str, text: str, max_tokens: int) -> Reading:
    """One forward pass over a text, in float32, with every layer kept.

    Args:
        folder: The model's files.
        name: How a message calls the model.
        text: What it reads, special tokens in it taken as such.
        max_tokens: Tokens beyond these are left out.

    Raises:
        EmptyText: there is nothing to read.
        BrokenModel: the model reads no text.
        ModelNotFound, UnsafeModel, DoesNotFit: as for every loading.
    """
    import torch

    from models.loading import load_part, load_tokenizer

    as_texts(text)
    architecture = architecture_of(folder)
    tokenizer = load_tokenizer(folder)
    model = load_part(folder, name=name, model_class=architecture, fast=False)
    encoded = tokenizer(text, return_offsets_mapping=tokenizer.is_fast, return_special_tokens_mask=True)
    tokens = _tokens(tokenizer, text, encoded)
    shown = tokens[:max_tokens]
    ids = torch.tensor([encoded["input_ids"][: len(shown)]], device=model.device)
    with process_scheduler().slot(), torch.inference_mode(), _looking_at_attention(model):
        try:
            return _read(model, tokenizer, ids, shown, len(tokens))
        except (TypeError, ValueError) as error:
            reason = f"it cannot read a text alone ({' '.join(str(error).split())[:120]})"
            raise BrokenModel(folder, reason) from error


def _read(model: Any, tokenizer: Any, ids: Any, tokens: Sequence[Token], total: int) -> Reading:
    import torch

    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    labels, written = tuple(token.shown for token in tokens), None
    said: tuple[str, ...] = ()
    if model.config.is_encoder_decoder:
        answer = model.generate(**inputs, max_new_tokens=_WRITTEN, do_sample=False, num_beams=1)
        written = tokenizer.decode(answer[0], skip_special_tokens=True)
        inputs["decoder_input_ids"] = answer[:, :-1]
        said = tuple(_plain(tokenizer, int(token)) for token in inputs["decoder_input_ids"][0])
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    found = [
        _maps("self-attention", output.get("attentions"), labels, labels),
        _maps("encoder self-attention", output.get("encoder_attentions"), labels, labels),
        _maps("decoder self-attention", output.get("decoder_attentions"), said, said),
        _maps("cross-attention", output.get("cross_attentions") if said else None, said, labels),
    ]
    layers = [
        *_layers("", output.get("hidden_states")),
        *_layers("encoder", output.get("encoder_hidden_states")),
        *_layers("decoder", output.get("decoder_hidden_states")),
    ]
    maps = tuple(one for one in found if one is not None)
    return Reading(tuple(tokens), total, tuple(layers), maps, _likeliest(model, tokenizer, ids, output), written)


def _tokens(tokenizer: Any, text: str, encoded: Any) -> list[Token]:
    offsets = encoded.get("offset_mapping") or [(None, None)] * len(encoded["input_ids"])
    names = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    tokens = []
    facts = zip(encoded["input_ids"], names, offsets, encoded["special_tokens_mask"], strict=True)
    for number, name, (start, end), special in facts:
        own = text[start:end] if start is not None and end > start else ""
        begin, stop = (start, end) if own else (None, None)
        tokens.append(Token(number, name, own or _plain(tokenizer, number), begin, stop, bool(special)))
    return tokens


def _plain(tokenizer: Any, token: int) -> str:
    """A token as a person reads it."""
    return str(tokenizer.decode([token], clean_up_tokenization_spaces=False)) or tokenizer.convert_ids_to_tokens(token)


def _layers(stack: str, states: Sequence[Any] | None) -> Iterator[Layer]:
    for number, state in enumerate(states or ()):
        norms = state.float().norm(dim=-1)
        yield Layer(stack, number, tuple(state.shape), float(norms.mean()))


def _maps(
    kind: str, attention: Sequence[Any] | None, rows: tuple[str, ...], columns: tuple[str, ...]
) -> AttentionMaps | None:
    """The layers that give weights; those of another kind of mixing give none."""
    import numpy as np

    layers = [layer[0].float().cpu().numpy() for layer in attention or () if layer is not None]
    if not layers or len({layer.shape for layer in layers}) != 1:
        return None
    return AttentionMaps(kind, np.stack(layers), rows, columns)


def _likeliest(model: Any, tokenizer: Any, ids: Any, output: Any) -> tuple[tuple[str, float], ...]:
    """Labels, or next tokens, or the tokens for the first gap; nothing for models that give only vectors."""
    logits = output.get("logits")
    name = type(model).__name__
    if logits is None:
        return ()
    if name.endswith("ForSequenceClassification"):
        shares, names = logits[0].softmax(-1), model.config.id2label
        best = shares.topk(min(_TOP, len(shares)))
        return tuple((str(names[int(i)]), float(share)) for share, i in zip(*best, strict=True))
    at = _place_to_fill(name, tokenizer, ids, model.config.is_encoder_decoder)
    if at is None or logits.ndim != 3:
        return ()
    best = logits[0, at].float().softmax(-1).topk(_TOP)
    return tuple((_plain(tokenizer, int(token)), float(share)) for share, token in zip(*best, strict=True))


def _place_to_fill(name: str, tokenizer: Any, ids: Any, two_halves: bool) -> int | None:
    """The position whose logits say something new: the last of a language model, the gap of a masked one."""
    if name.endswith("ForMaskedLM"):
        gaps = (ids[0] == tokenizer.mask_token_id).nonzero()
        return int(gaps[0]) if len(gaps) else None
    return -1 if name.endswith(("ForCausalLM", "LMHeadModel")) and not two_halves else None


@contextmanager
def _looking_at_attention(model: Any) -> Iterator[None]:
    """Lets the model compute attention in the plain way that keeps its weights, as long as it is looked at."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def most_bits(columns: int) -> float:
    """The entropy of looking evenly at so many tokens."""
    return math.log2(columns) if columns > 1 else 1.0
