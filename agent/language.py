"""Answers in the language of the question where the chat model does not know it: a translation model stands between.

The question is searched and answered in the documents' language and checked there; only the checked answer is
translated back, sentence by sentence, so that its citations and numbers stay what they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from langchain_core.documents import Document

from agent.events import Answered, Event
from agent.grounding import cite, sentences
from models.errors import ModelError

if TYPE_CHECKING:
    from agent.assembly import House
    from models.tasks.translator import Translation

# A language other than English is believed at these probabilities: of 2,911 English questions (SQuAD, Natural
# Questions) none was taken for another language, of 200 questions of XQuAD each 86 % (zh) to 99 % (tr, vi) were known.
_SURE, _NOT_ENGLISH = 0.5, 0.01
_ENGLISH = "en"
_ENGLISH_WORDS = frozenset("what who whose when where which how why the does did were this that there".split())
_CITATION = re.compile(r"\s*\[(\d+)\]")


class Translates(Protocol):
    """What a translation model offers."""

    def __call__(self, text: str, *, to: str, source: str | None = None) -> Translation:
        """The translation of a text."""


def foreign_language(question: str) -> str | None:
    """The code of the language a question is in; None for English and where it is not clear."""
    from models.tasks.language import languages

    if not any(character.isalpha() for character in question):
        return None
    if question.isascii() and not _ENGLISH_WORDS.isdisjoint(re.findall(r"[a-z]+", question.casefold())):
        return None  # the identifier's file takes a while to load, and most questions never need it
    ranked = languages(question)
    english = next((found.score for found in ranked if found.code == _ENGLISH), 0.0)
    best = ranked[0]
    return best.code if best.code != _ENGLISH and best.score >= _SURE and english < _NOT_ENGLISH else None


def knows(languages: Sequence[str], code: str) -> bool:
    """Whether a model's languages hold this one; a model that names none, or how many, is taken at its word."""
    return not languages or code in languages or any(named[:1].isdigit() for named in languages)


@dataclass(frozen=True)
class LanguageBridge:
    """The languages of one home's models.

    Args:
        known: the codes of the chat model's languages, empty where nobody says.
        translator: gives the translation model, None where none serves.
        advice: the sentence that says what to do for a language by its code.
        answer_in: the code of the language to answer in; None is the question's.
    """

    known: Callable[[], Sequence[str]]
    translator: Callable[[], Translates | None]
    advice: Callable[[str], str]
    answer_in: str | None = None

    @classmethod
    def of(cls, house: House) -> LanguageBridge:
        """The bridge of a home, by what serves its roles."""

        def translator() -> Translates | None:
            tasks = house.tasks()
            return tasks.translator() if tasks.named("translate") else None

        return cls(lambda: _chat_languages(house), translator, lambda code: _advice(house, code))

    def crossing(self, question: str, passages: Sequence[Document] = ()) -> Crossing | None:
        """How to come from a question to its answer and back; None where the chat model's own words will do.

        Args:
            question: the person's, understood by itself.
            passages: what a search for it found; they tell the documents' language, without them it is English.
        """
        foreign = foreign_language(question)
        own = foreign or _ENGLISH
        wanted = self.answer_in or own
        if foreign is None or knows(self.known(), own):
            return None if wanted == own else Crossing(question, wanted, own, self.translator(), self.advice(wanted))
        theirs = (foreign_language(" ".join(hit.page_content for hit in passages)) if passages else None) or _ENGLISH
        if theirs == own == wanted:  # the passages' own words are the best answer there can be
            return None
        translator = self.translator()
        asked = question if theirs == own else _translated(translator, question, own, theirs)
        if translator is None or asked is None:
            return Crossing(question, wanted, theirs, None, self.advice(wanted))
        return Crossing(asked, wanted, theirs, translator, self.advice(wanted))


@dataclass(frozen=True)
class Crossing:
    """One question that is answered in another language than it was asked in.

    `question` is what to search and answer: translated, or as it was where nothing translates the pair; the answer is
    written in the language `through` and given in `language`; `advice` is what the person is told where it cannot be.
    """

    question: str
    language: str
    through: str
    translator: Translates | None
    advice: str

    def back(self, events: Iterator[Event]) -> Iterator[Event]:
        """The events with the answer in the wanted language, or with the advice behind it."""
        for event in events:
            if isinstance(event, Answered) and self.language != self.through:
                event = Answered(replace(event.answer, text=self._answer(event.answer.text)))
            yield event

    def _answer(self, text: str) -> str:
        found = None if self.translator is None else self._by_sentence(self.translator, text)
        return f"{text}\n\n{self.advice}" if found is None else found

    def _by_sentence(self, translator: Translates, text: str) -> str | None:
        """The text translated; a sentence whose numbers do not come through stays as it is."""
        parts, at = [], 0
        for span in sentences(text):
            sentence = text[span.start : span.end]
            said = _translated(translator, _CITATION.sub("", sentence), self.through, self.language)
            if said is None:
                return None
            for number in _CITATION.findall(sentence):
                said = cite(said, int(number))
            parts += [text[at : span.start], said if _numbers(said) == _numbers(sentence) else sentence]
            at = span.end
        return "".join([*parts, text[at:]])


def _numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))


def _translated(translator: Translates | None, text: str, source: str, to: str) -> str | None:
    """The translation, None where the model cannot give it, or none to rely on."""
    if translator is None or not text.strip():
        return None
    try:
        found = translator(text, to=to, source=source)
    except ModelError:
        return None
    return None if found.advice else found.translation or None


def _chat_languages(house: House) -> Sequence[str]:
    from models.catalog import find
    from models.profiles import all_profiles

    roles = house.roles()
    name = roles.serving("chat").name
    version = roles.registry.look_up(name) if name else None
    base = version.facts.base if version else None  # an adapter knows the languages of its base
    entry = find(base.name if base else name, "chat", house.home)
    if entry.languages:
        return entry.languages
    table = {model.name: model.languages for profile in all_profiles().values() for model in profile.models}
    return table.get(entry.source, ())


def _advice(house: House, code: str) -> str:
    """What to fetch so that this language is answered in itself, by the profile of this machine."""
    from models.profiles import all_profiles, largest_first
    from models.tasks.language_codes import language_name

    name = language_name(code)
    lead = f"(I answer in English, as the models here do not know {name} well enough"
    profiles = [*largest_first(house.roles().choice.profile), *all_profiles().values()]
    for role in ("chat", "translate"):
        for profile in profiles:
            if (model := profile.roles.get(role)) and knows(model.languages, code):
                return f"{lead}: `hearth models pull {model.name}` brings one that does.)"
    return f"{lead}: name one that does in the setting chat_model or translate_model.)"
