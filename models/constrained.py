"""Makes a model write nothing but what a grammar allows: a JSON value of a schema, one of some choices, a regex.

The grammar engine is llguidance; a `Constraint` is compiled once and gives each answer a processor of its own.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer
from llguidance.hf import from_tokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray
from transformers import LogitsProcessor

from models.errors import BadOption

# Free white space lets a small model wander in line breaks for ever.
_JSON_OPTIONS: Any = {"whitespace_flexible": False}
_MOST_CHARACTERS, _FEWEST_CHARACTERS = 2000, 24
_CHARACTERS_PER_TOKEN = 2  # fewer than ordinary text has, so that odd text fits as well
_MOST_ITEMS, _FEWEST_ITEMS = 50, 4
_LARGEST_NUMBER = 10**15
_DATA = ("enum", "const", "default", "examples", "required")
"""Keywords whose value is data and no schema."""
_NAMED = ("properties", "$defs", "definitions")
"""Keywords whose value holds schemas by name."""
SUBSTRING_OF = "x-substring-of"
"""The keyword of a tool's argument that must be words of a given text, as they stand there."""
_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_HURRY_AFTER = 0.5
"""Once this share of an answer's tokens is written, what ends a JSON text, list or object comes first."""
_ENDINGS = tuple(map(re.compile, ('"[]"}]*', "[]}]+", ",")))
"""Tokens that end a text, a list or object, or a number before what must follow; brackets in a text end nothing."""

_tokenizers: WeakKeyDictionary[Any, Vocabulary] = WeakKeyDictionary()
_building = threading.Lock()


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer as the grammar engine reads it, and which ids end something, as `_ENDINGS` has them."""

    engine: LLTokenizer
    endings: tuple[NDArray[np.bool_], ...]


@dataclass(frozen=True)
class Constraint:
    """A compiled grammar, to be used with any tokenizer and any number of answers."""

    grammar: str
    what: str

    def processor(
        self,
        tokenizer: Any,
        vocabulary: int,
        stop_token_ids: Sequence[int],
        max_new_tokens: int,
        opening_bias: tuple[int, float] = (0, 0.0),
    ) -> GrammarProcessor:
        """A logits processor for one answer.

        Args:
            tokenizer: the model's fast tokenizer.
            vocabulary: the model's output size; it may be larger than the tokenizer's.
            stop_token_ids: the ids that end an answer, allowed once the grammar is satisfied.
            max_new_tokens: the most that the answer may have.
            opening_bias: an id and what is added to its logit at the first token.
        """
        read = _vocabulary(tokenizer, vocabulary, stop_token_ids)
        return GrammarProcessor(LLMatcher(read.engine, self.grammar), max_new_tokens, read.endings, opening_bias)


def json_schema(schema: dict[str, Any], max_new_tokens: int) -> Constraint:
    """A JSON value that the schema accepts, without free white space, ended within the tokens of the answer.

    Raises:
        BadOption: the schema is not one, or uses what a grammar cannot express.
    """
    try:
        closed = json.dumps(closed_schema(schema, max_new_tokens))
        grammar = LLMatcher.grammar_from_json_schema(closed, overrides=_JSON_OPTIONS)
    except (ValueError, TypeError) as error:
        raise BadOption("schema", _short(schema), f"a JSON schema ({_one_line(error)})") from error
    return _checked(grammar, schema, "schema")


def choice(options: Sequence[str]) -> Constraint:
    """Exactly one of the options, as it is written.

    Raises:
        BadOption: there are no options, or one is empty.
    """
    if not options or not all(options):
        raise BadOption("choice", list(options), "one or more texts that are not empty")
    return _checked(LLMatcher.grammar_from_lark(f"start: {_alternatives(options)}"), options, "choice")


def regex(pattern: str) -> Constraint:
    """A text that the whole pattern matches.

    Raises:
        BadOption: the pattern is none that a grammar can follow.
    """
    return _checked(LLMatcher.grammar_from_regex(pattern), pattern, "regex")


def lark(grammar: str, what: str) -> Constraint:
    """A text of a Lark grammar in llguidance's dialect; `what` names it in errors."""
    return _checked(LLMatcher.grammar_from_lark(grammar), what, what)


def substring_terminal(text: str) -> str:
    """A terminal's body in llguidance's Lark: any run of the text's words and marks, as JSON escapes them."""
    pieces = [json.dumps(piece, ensure_ascii=False)[1:-1] for piece in _PIECE.findall(text)]
    return "%regex " + json.dumps({"substring_chunks": pieces})


class GrammarProcessor(LogitsProcessor):
    """Forbids every token that would leave the grammar; one object an answer, batch size one.

    It follows the answer by the ids that were added since its last call, so it cannot be used where candidates are
    tried and taken back (prompt lookup). When half of the tokens are gone it lets a JSON value end wherever it can, so
    that no text, number or list runs into the end of the answer.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        max_new_tokens: int,
        endings: Sequence[NDArray[np.bool_]],
        opening_bias: tuple[int, float] = (0, 0.0),
    ) -> None:
        self._matcher = matcher
        self._left_at_hurry = max_new_tokens - int(_HURRY_AFTER * max_new_tokens)
        self._left = max_new_tokens
        self._endings = endings
        self._opening_bias = opening_bias
        self._seen: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores with every forbidden id at minus infinity; shapes (1, length) and (1, vocabulary)."""
        if self._seen is not None:
            written = input_ids[0, self._seen :].tolist()
            self._matcher.consume_tokens(written)
            self._left -= len(written)
        elif self._opening_bias[1]:
            scores = scores.clone()
            scores[0, self._opening_bias[0]] += self._opening_bias[1]
        self._seen = input_ids.shape[1]
        mask = allocate_token_bitmask(1, scores.shape[1])
        fill_next_token_bitmask(self._matcher, mask)
        # llguidance's own torch helper compiles a kernel at its first call, which takes seconds and a C++ compiler
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[: scores.shape[1]].astype(bool)
        if self._left <= self._left_at_hurry and not self._matcher.is_accepting():
            ends = (allowed & ending[: len(allowed)] for ending in self._endings)
            allowed = next((some for some in ends if some.any()), allowed)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), float("-inf"))


def _vocabulary(tokenizer: Any, vocabulary: int, stop_token_ids: Sequence[int]) -> Vocabulary:
    with _building:  # building one takes most of a second, so each tokenizer gets one
        if tokenizer not in _tokenizers:
            size = max(vocabulary, len(tokenizer))
            endings = tuple(np.zeros(size, bool) for _ in _ENDINGS)
            for token, index in tokenizer.get_vocab().items():
                for marks, ending in zip(_ENDINGS, endings, strict=True):
                    if index < size and marks.fullmatch(token):
                        ending[index] = True
            engine = from_tokenizer(tokenizer, n_vocab=size, eos_token=list(stop_token_ids))
            _tokenizers[tokenizer] = Vocabulary(engine, endings)
        return _tokenizers[tokenizer]


def _checked(grammar: str, value: Any, what: str) -> Constraint:
    if problem := LLMatcher.validate_grammar(grammar):
        raise BadOption(what, _short(value), f"something that a grammar can follow ({_one_line(problem)})")
    return Constraint(grammar, what)


def closed_schema(schema: dict[str, Any], max_new_tokens: int) -> dict[str, Any]:
    """The schema with an end wherever it names none, so that the answer is whole within its tokens.

    A small model likes to repeat itself for ever inside a text or a list. Objects that list their properties take no
    others; texts and lists without a bound share the tokens there are; numbers get a generous bound.
    """
    texts = max(1, _open_texts(schema))
    characters = min(_MOST_CHARACTERS, max(_FEWEST_CHARACTERS, _CHARACTERS_PER_TOKEN * max_new_tokens // texts))
    bounds = {"string": characters, "array": min(_MOST_ITEMS, max(_FEWEST_ITEMS, max_new_tokens // 32))}
    closed: dict[str, Any] = _closed(schema, bounds)
    return closed


def _closed(schema: Any, bounds: dict[str, int]) -> Any:
    if isinstance(schema, list):
        return [_closed(item, bounds) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed_part(key, value, bounds) for key, value in schema.items()}
    kind = schema.get("type")
    if kind == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    elif _is_open_text(schema):
        closed["maxLength"] = max(bounds["string"], int(schema.get("minLength") or 0))
    elif kind == "array":
        closed.setdefault("maxItems", max(bounds["array"], int(schema.get("minItems") or 0)))
    elif kind in ("integer", "number") and not {"enum", "const"} & schema.keys():
        if not {"maximum", "exclusiveMaximum"} & schema.keys():
            closed["maximum"] = _LARGEST_NUMBER
        if not {"minimum", "exclusiveMinimum"} & schema.keys():
            closed["minimum"] = -_LARGEST_NUMBER
    return closed


def _closed_part(key: str, value: Any, bounds: dict[str, int]) -> Any:
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: _closed(inner, bounds) for name, inner in value.items()}
    return _closed(value, bounds)


def is_free_text(schema: dict[str, Any]) -> bool:
    """Whether a schema takes a text in any words."""
    return schema.get("type") == "string" and not {"enum", "const", "pattern", "format"} & schema.keys()


def _is_open_text(schema: dict[str, Any]) -> bool:
    return is_free_text(schema) and "maxLength" not in schema


def _open_texts(schema: Any) -> int:
    """How many texts without a bound an answer of the schema may hold; a list counts as four of its items."""
    if isinstance(schema, list):
        return sum(map(_open_texts, schema))
    if not isinstance(schema, dict):
        return 0
    inner = sum(
        sum(map(_open_texts, value.values())) if key in _NAMED and isinstance(value, dict) else _open_texts(value)
        for key, value in schema.items()
        if key not in _DATA
    )
    return inner * (4 if schema.get("type") == "array" else 1) + int(_is_open_text(schema))


def _alternatives(options: Sequence[str]) -> str:
    return " | ".join(json.dumps(option, ensure_ascii=False) for option in dict.fromkeys(options))


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200]
