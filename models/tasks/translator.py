"""Translation of texts of any length, sentence by sentence; the source language is found where it is not given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.profiles import translator_of_all
from models.tasks.base import as_texts
from models.tasks.errors import LanguageNotSupported
from models.tasks.familiarity import FILE, Familiar, read_familiar
from models.tasks.language import detect_language, languages
from models.tasks.language_codes import language_code
from models.tasks.sentences import sentence_spans
from models.tasks.seq2seq import Generated, Seq2SeqModel
from models.tasks.translation_families import Family, family_of

REVERSE_WEIGHT = "reverse_weight"  # the key of config.json
_SPACE = re.compile(r"\s+")
# a text is in a language that a model does not know at the first probability, if its own have less than the second
_SURE, _NOT_OWN = 0.5, 0.01


@dataclass(frozen=True)
class Translation:
    """A translated text and its languages as codes.

    Attributes:
        cut_off: A sentence's translation did not end by itself.
        advice: Where the text is unlike those the model was trained on, a sentence that says so and names a model for
            it; such a translation is not to be relied on.
    """

    translation: str
    source_language: str
    target_language: str
    model: str
    cut_off: bool = False
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """`{translation, source_language, target_language, model}`, and `cut_off` and `advice` where there is any."""
        return {name: value for name, value in asdict(self).items() if value or name not in ("cut_off", "advice")}


class Translator(Seq2SeqModel):
    """Marian, M2M100, NLLB, mBART-50, T5 with its prefixes, MADLAD, and encoder-decoders trained for one pair.

    Sentences are translated one by one in batches; line breaks and the space between sentences stay as they were.
    """

    role_name = "translate"

    def __init__(self, name: str, *, home: Path, beams: int | None = None) -> None:
        super().__init__(name, home=home)
        self._beams = beams

    @cached_property
    def _family(self) -> Family:
        return family_of(self.config, self.load().tokenizer)

    @cached_property
    def _familiar(self) -> dict[str, Familiar]:
        return read_familiar(self.folder, self.load().tokenizer)

    @property
    def narrow(self) -> bool:
        """Whether the model says for what texts it was made, so that others get advice."""
        return (self.folder / FILE).is_file()

    @property
    def languages(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The source and the target languages, empty where the model's files do not say."""
        return self._family.sources, self._family.targets

    def __call__(self, text: str, *, to: str, source: str | None = None) -> Translation:
        """The translation of one text; see `many`."""
        return self.many([text], to=to, source=source)[0]

    def many(self, texts: Sequence[str], *, to: str, source: str | None = None) -> list[Translation]:
        """The translation of each text, in order.

        Args:
            texts: Of any length.
            to: The target language, a code or an English name.
            source: The same for the texts; None finds it, text by text.

        Raises:
            EmptyText: a text is empty.
            LanguageUnclear: a text's language cannot be found.
            LanguageNotSupported: the model does not know the pair.
            BadOption: not a language.
        """
        found, target = as_texts(texts), language_code(to)
        sources = [language_code(source) if source else self._detect(text, target) for text in found]
        for one in dict.fromkeys(sources):
            if one != target and not self._family.knows(one, target):
                known = tuple(dict.fromkeys((*self._family.sources, *self._family.targets)))
                raise LanguageNotSupported(self.name, source=one, target=target, known=known)
        results: list[Translation | None] = [None] * len(found)
        for one in dict.fromkeys(sources):
            own = [index for index, code in enumerate(sources) if code == one]
            for index, result in zip(own, self._translate([found[i] for i in own], one, target), strict=True):
                results[index] = result
        return [result for result in results if result is not None]

    def _detect(self, text: str, target: str) -> str:
        among = [code for code in self._family.sources if code != target]
        if not among:
            return detect_language(text).code
        if not any(self._family.knows(code, target) for code in among):
            likest = next(iter(languages(text, among)), None)  # however short the text: it is refused
            return likest.code if likest else among[0]
        ranked = languages(text)
        own = sum(found.score for found in ranked if found.code in among)
        if ranked[0].score >= _SURE and own < _NOT_OWN:
            return ranked[0].code  # which the model does not know, rather than the likest of those it does
        return among[0] if len(among) == 1 else detect_language(text, among).code

    def _advice(self, text: str, source: str) -> str:
        familiar = self._familiar.get(source)
        if familiar is None or familiar.knows(text):
            return ""
        return (
            f"This text is unlike those that {self.name} was trained on, so its translation is not to be relied on: "
            f"`hearth models pull {translator_of_all()}` brings a model for it."
        )

    def _translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        if source == target:
            return [Translation(text, source, target, self.name) for text in texts]
        self._family.set_source(source)
        pieces = [self._pieces(text, source, target) for text in texts]
        wanted = [text[start:end] for text, own in zip(texts, pieces, strict=True) for start, end in own]
        outputs = iter(self._written(wanted, source, target))
        results = []
        for text, own in zip(texts, pieces, strict=True):
            parts, at, cut_off = [], 0, False
            for start, end in own:
                output = next(outputs)
                parts += [text[at:start], output.text]
                at, cut_off = end, cut_off or output.cut_off
            whole = "".join([*parts, text[at:]]).strip()
            results.append(Translation(whole, source, target, self.name, cut_off, self._advice(text, source)))
        return results

    def _written(self, pieces: Sequence[str], source: str, target: str) -> list[Generated]:
        """The translation of each piece; the likeliest in both directions for a model that has a weight for the other.

        Source: Yee et al. 2019, https://arxiv.org/abs/1908.05731 (the noisy channel's rule, here with one model).
        """
        weight = float(self.config.get(REVERSE_WEIGHT) or 0)
        beams = self._beams or self.load().model.generation_config.num_beams or 1
        both = weight > 0 and beams > 1 and self._family.knows(target, source)
        found = self.candidates(
            [self._family.prompt(piece, source, target) for piece in pieces],
            beams if both else 1,
            new_tokens=lambda tokens: 2 * tokens + 32,
            forced_first=self._family.forced_first(target),
            beams=self._beams,
        )
        if not both:
            return [best for best, *_ in found]
        sources = [piece for piece, own in zip(pieces, found, strict=True) for _ in own]
        texts = [one.text for own in found for one in own]
        forward = self._likelihoods(sources, texts, source, target)
        backward = self._likelihoods(texts, sources, target, source)
        scores = iter([there + weight * back for there, back in zip(forward, backward, strict=True)])
        return [max(own, key=lambda _: next(scores)) for own in found]

    def _likelihoods(self, texts: Sequence[str], outputs: Sequence[str], source: str, target: str) -> list[float]:
        self._family.set_source(source)
        self._family.set_target(target)
        return self.likelihoods([self._family.prompt(text, source, target) for text in texts], outputs)

    def _pieces(self, text: str, source: str, target: str) -> list[tuple[int, int]]:
        """The sentences, each cut at white space where it is too long for the model."""
        room = self.window - self.token_count(self._family.prompt("", source, target))
        found = []
        for start, end in sentence_spans(text):
            found += self._fitting(text, start, end, max(1, room))
        return found

    def _fitting(self, text: str, start: int, end: int, room: int) -> list[tuple[int, int]]:
        if end - start < 2 or self.token_count(text[start:end]) <= room:
            return [(start, end)]
        middle = (start + end) // 2
        cuts = list(_SPACE.finditer(text, start + 1, end - 1))
        if cuts:
            cut = min(cuts, key=lambda match: abs(match.start() - middle))
            left, right = cut.start(), cut.end()
        else:
            left = right = middle
        return [*self._fitting(text, start, left, room), *self._fitting(text, right, end, room)]
