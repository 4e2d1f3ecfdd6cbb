"""How each family of translation models is told its languages: a code token, a forced first token, or a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.tasks.base import tokenizer_turn
from models.tasks.language_codes import NAMES, NLLB, language_code, language_name

_T5_PAIRS = (("en", "de"), ("en", "fr"), ("en", "ro"))


class Family:
    """A model of one pair that needs telling nothing; the base of the other families.

    `sources` and `targets` are ISO codes, empty where the files do not say.
    """

    def __init__(self, sources: tuple[str, ...] = (), targets: tuple[str, ...] = ()) -> None:
        self.sources = sources
        self.targets = targets

    def knows(self, source: str, target: str) -> bool:
        """Whether the model can translate the pair, as far as its files say."""
        return (not self.sources or source in self.sources) and (not self.targets or target in self.targets)

    def set_source(self, source: str) -> None:
        """Tells the tokenizer the language of what comes."""

    def set_target(self, target: str) -> None:
        """Tells the tokenizer the language of texts that are learned as translations."""

    def prompt(self, text: str, source: str, target: str) -> str:
        """The text as the encoder wants it."""
        return text

    def forced_first(self, target: str) -> int | None:
        """The id that every translation begins with."""
        return None


class _Marian(Family):
    """One pair, or several targets that a `>>code<<` before the text chooses."""

    def __init__(self, tokenizer: Any) -> None:
        written = {_iso(code[2:-2]): code for code in reversed(tokenizer.supported_language_codes)}
        source, target = tokenizer.source_lang, tokenizer.target_lang
        targets = tuple(written) or _known(target)
        super().__init__(_known(source), targets)
        self._written = written

    def prompt(self, text: str, source: str, target: str) -> str:
        return f"{self._written[target]} {text}" if target in self._written else text


class _Coded(Family):
    """M2M100, NLLB and mBART-50: the tokenizer is told the source, the first generated token is the target's."""

    def __init__(self, tokenizer: Any, codes: Mapping[str, str]) -> None:
        super().__init__(tuple(codes), tuple(codes))
        self._tokenizer = tokenizer
        self._codes = dict(codes)

    def set_source(self, source: str) -> None:
        with tokenizer_turn:
            self._tokenizer.src_lang = self._codes[source]

    def set_target(self, target: str) -> None:
        with tokenizer_turn:
            self._tokenizer.tgt_lang = self._codes[target]

    def forced_first(self, target: str) -> int | None:
        code = self._codes[target]
        if hasattr(self._tokenizer, "get_lang_id"):
            return int(self._tokenizer.get_lang_id(code))
        return int(self._tokenizer.convert_tokens_to_ids(code))


class _Prefixed(Family):
    """T5 and models trained like it: the task is written before the text."""

    def __init__(self, prefixes: Mapping[tuple[str, str], str]) -> None:
        super().__init__(tuple(dict.fromkeys(a for a, _ in prefixes)), tuple(dict.fromkeys(b for _, b in prefixes)))
        self._prefixes = dict(prefixes)

    def knows(self, source: str, target: str) -> bool:
        return (source, target) in self._prefixes

    def prompt(self, text: str, source: str, target: str) -> str:
        return self._prefixes[source, target] + text


class _Tagged(Family):
    """MADLAD: `<2de>` before the text names the target; the source needs no telling."""

    def __init__(self, targets: tuple[str, ...]) -> None:
        super().__init__((), targets)

    def prompt(self, text: str, source: str, target: str) -> str:
        return f"<2{target}> {text}"


def family_of(config: Mapping[str, Any], tokenizer: Any) -> Family:
    """The family of a model, by its config and tokenizer.

    A model may name its own pair in config.json's `task_specific_params`, as T5 does:
    `{"translation_en_to_de": {"prefix": "..."}}`; that goes first.
    """
    prefixes = _own_prefixes(config)
    if prefixes:
        return _Prefixed(prefixes)
    kind = config.get("model_type")
    if kind == "marian" and hasattr(tokenizer, "supported_language_codes"):
        return _Marian(tokenizer)
    codes = _codes(tokenizer)
    if codes:
        return _Coded(tokenizer, codes)
    vocabulary = tokenizer.get_vocab()
    tagged = tuple(iso for iso in NAMES if f"<2{iso}>" in vocabulary)
    if tagged:
        return _Tagged(tagged)
    if kind == "t5":
        return _Prefixed({(a, b): f"translate {language_name(a)} to {language_name(b)}: " for a, b in _T5_PAIRS})
    return Family()


def _own_prefixes(config: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {pair: str(facts.get("prefix") or "") for pair, facts in _own_pairs(config).items()}


def _own_pairs(config: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for name, facts in (config.get("task_specific_params") or {}).items():
        kind, _, pair = str(name).partition("_")
        source, to, target = pair.partition("_to_")
        if kind == "translation" and to and isinstance(facts, dict):
            found[_iso(source), _iso(target)] = facts
    return found


def _codes(tokenizer: Any) -> dict[str, str]:
    """ISO code to the tokenizer's own, for tokenizers that know languages."""
    own = getattr(tokenizer, "lang_code_to_token", None)
    if own:
        return {_iso(code): code for code in reversed(list(own))}
    vocabulary = tokenizer.get_vocab() if hasattr(type(tokenizer), "src_lang") else {}
    nllb = {iso: code for iso, code in NLLB.items() if code in vocabulary}
    if nllb:
        return nllb
    mbart = [token for token in vocabulary if len(token) == 5 and token[2] == "_" and token[3:].isupper()]
    return {_iso(token[:2]): token for token in mbart}


def _known(language: str | None) -> tuple[str, ...]:
    """The languages a Marian tokenizer names, such as `en`, `eng` or `de+fr`; none where it names none."""
    return tuple(_iso(code) for code in str(language).split("+")) if language else ()


def _iso(code: str) -> str:
    short = code.replace("_", "-").partition("-")[0]
    return language_code(short) if 2 <= len(short) <= 3 else code
