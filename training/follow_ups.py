"""Follow-up questions made from questions that stand alone: each is asked as one would after another of its passage.

A phrase that the question before or its answer holds becomes a pronoun, all that both questions share is left out ("and
in 1990?"), or only the question word stays ("When?"); what is learned is the question as it stood. Some stay whole, so
that nothing is put into what needs nothing. English.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any

from models.prompts import NOT_IN_PASSAGES, standing_messages
from training.alterations import nearest_in_length, things
from training.statements import AUXILIARIES, PREPOSITIONS, is_verb, statement
from training.tasks.answer_rows import laid_out

Turn = tuple[str, str]
Made = tuple[str, Turn]
_REMEMBERED = 12
_MOST_TURNS = 3
_SHARE_LEFT_WHOLE, _SHARE_OF_POINTING_LEFT_WHOLE = 0.05, 0.6
_LONGEST_PHRASE, _LONGEST_QUESTION = 6, 25
_TOKEN = re.compile(r"['’]s\b|[^\W_]+(?:[-.,][^\W_]+)*")
_ASKED = re.compile(
    r"(?:(?:in|on|at|for|to|by|from|with|of|during|under) )?(?:who|whom|whose|what|which|when|where|why|how)\b", re.I
)
_POINTS = re.compile(r"\b(?:it|its|he|him|his|she|her|they|them|their|this|that|these|those|there)\b", re.I)
_POINTS_BACK = re.compile(r"\b(?:its?|he|him|his|she|her|they|them|their)\b", re.I)
_OF_CLAUSE = re.compile(r"(When|Where|Why|How) (did|was|were|is|are|does|do|can|has|have) ((?:the |[A-Z]).+)\?")
_QUESTION_WORDS = frozenset("who whom what which when where why how".split())
_BEFORE_CLAUSES = frozenset("before after since than if because that while".split())
_LEFT = AUXILIARIES | PREPOSITIONS | _BEFORE_CLAUSES | {"and", "or", "like"}
_PLURAL, _SINGULAR = frozenset("are were do have".split()), frozenset("is was does has".split())
_FORMS = {
    "it": ("it", "it", "its"), "he": ("he", "him", "his"), "she": ("she", "her", "her"),
    "they": ("they", "them", "their"),
}  # fmt: skip
_WEIGHTS = {"pointing": 6, "another": 3, "of another": 2, "clause": 2, "whole": 1}


@dataclass(frozen=True)
class _Phrase:
    """A phrase of a question that a pronoun may stand for: its characters, and the words beside it."""

    start: int
    end: int
    before: str
    after: str


class FollowUpRows:
    """Turns rows of question answering into rows of `messages`, `answer`, `references` and `kind`.

    Rows depend on the seed and on the rows before: the questions before are those of the same `title`, or of the same
    passage where there is none, so rows of one text have to follow each other.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._text = ""
        self._turns: list[Turn] = []

    def __call__(self, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The follow-ups of one source row, in any layout of `answer_rows.py`.

        Raises:
            ValueError: the row is in no known layout.
        """
        for row in laid_out(dict(values)):
            question, passage = " ".join(str(row["question"]).split()), str(row["text"])
            about = str(values.get("title") or passage)
            if about != self._text:
                self._text, self._turns = about, []
            draw = random.Random(f"{self._seed}:{question}:{passage}")
            if _stands(question):
                yield from self._followed(draw, question, passage)
            if _stands(question) and all(question != asked for asked, _ in self._turns):
                answer = min(row["answers"], key=len)
                self._turns = [*self._turns[1 - _REMEMBERED :], (question, _told(draw, question, answer))]

    def _followed(self, draw: random.Random, question: str, passage: str) -> Iterator[dict[str, Any]]:
        """Two ways to ask it at most, of different kinds."""
        kinds = sorted(_WEIGHTS, key=lambda kind: draw.random() ** (1 / _WEIGHTS[kind]), reverse=True)
        found = ((kind, _MAKERS[kind](draw, question, self._turns, passage)) for kind in kinds)
        for kind, (message, last) in islice(((kind, made) for kind, made in found if made is not None), 2):
            others = [turn for turn in self._turns if turn[0] not in (last[0], question)]
            before = draw.sample(others, min(len(others), draw.choice((0, 0, 1, 2))))
            turns = [*before, last]
            if kind == "pointing" and before and draw.random() < 0.2:  # what is meant was said some time ago
                turns = [last, *before]
            messages = [
                {"role": {"human": "user", "ai": "assistant"}.get(one.type, one.type), "content": str(one.content)}
                for one in standing_messages(_typed(draw, message), turns[-_MOST_TURNS:])
            ]
            yield {"messages": messages, "answer": question, "references": [question], "kind": [kind]}


def follow_ups(rows: Iterable[Mapping[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
    """What `FollowUpRows` makes of all rows, each with the `title` of its source row where it has one."""
    layout = FollowUpRows(seed)
    for row in rows:
        title = {"title": row["title"]} if "title" in row else {}
        yield from ({**title, **made} for made in layout(row))


def _stands(question: str) -> bool:
    """Whether it is a whole question, with nothing in it that points elsewhere at its beginning."""
    words = question.split()
    first = words[0].lower() if words else ""
    asks = bool(_ASKED.match(question)) or first in AUXILIARIES
    return asks and question.endswith("?") and 4 <= len(words) <= _LONGEST_QUESTION and question[0].isupper()


def _told(draw: random.Random, question: str, answer: str) -> str:
    """An answer as it may stand in a thread: its words, a sentence of them, or that there is none."""
    if not answer:
        return NOT_IN_PASSAGES
    return (draw.random() < 0.6 and statement(question, answer)) or answer.strip(" ,;")


def _typed(draw: random.Random, message: str) -> str:
    """A message as people type it."""
    if draw.random() < 0.3:
        message = message[0].lower() + message[1:]
    return message.rstrip("?") if draw.random() < 0.12 else message


def _pointing(draw: random.Random, question: str, turns: Sequence[Turn], passage: str) -> Made | None:
    """A phrase that a turn before holds, as a pronoun; the longest of the likeliest turn."""
    if _POINTS.search(question):
        return None
    phrases = sorted(_phrases(question), key=lambda phrase: phrase.start - phrase.end)
    for turn in draw.sample(list(turns), len(turns)):
        said = f" {_bare(' '.join(turn))} "
        for phrase in phrases:
            own = question[phrase.start : phrase.end]
            if turn[0] != question and f" {_bare(own)} " in said and question.count(own) == 1:
                return _pointed(draw, question, phrase, turn, passage), turn
    return None


def _phrases(question: str) -> Iterator[_Phrase]:
    """Names, phrases with "the" and plain plurals, where the words beside them show that they are whole."""
    tokens = [(found.start(), found.end(), found.group()) for found in _TOKEN.finditer(question)]
    words = [token for _, _, token in tokens]
    for first in range(len(words)):
        before = words[first - 1].lower() if first else ""
        if before not in _LEFT and not is_verb(before) and first:
            continue
        for last in range(first, min(first + _LONGEST_PHRASE, len(words))):
            after = words[last + 1].lower() if last + 1 < len(words) else ""
            if _is_phrase(words[first : last + 1], before) and _ends(words[first : last + 1], after):
                yield _Phrase(tokens[first][0], tokens[last][1], before, after)


def _is_phrase(words: Sequence[str], before: str) -> bool:
    head = words[1:] if words[0].lower() == "the" else words
    if not head or any(word.lower() in AUXILIARIES | _QUESTION_WORDS for word in head):
        return False
    inside = [word for word in head if word.lower() not in ("of", "the", "and") or word is head[0]]
    if inside[-1] is not head[-1] or any(word.lower() in PREPOSITIONS | {"the", "'s", "’s"} for word in inside):
        return False
    if head is words:
        named = all(word[0].isupper() for word in inside) and bool(before)
        counted = len(words) == 1 and _is_plain_plural(words[0])
        return named or (counted and before in (AUXILIARIES | PREPOSITIONS) - {"of"})
    return not any(is_verb(word) for word in inside) and not inside[-1].isdigit()


def _is_plain_plural(word: str) -> bool:
    return word.islower() and len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is"))


def _ends(words: Sequence[str], after: str) -> bool:
    """Whether a phrase may end before this word."""
    named = words[-1][0].isupper()
    if not after or after in AUXILIARIES | {"'s", "’s"}:
        return True
    if after in PREPOSITIONS:
        return named and after != "of"
    return is_verb(after) and not after.endswith("s")


def _pointed(draw: random.Random, question: str, phrase: _Phrase, turn: Turn, passage: str) -> str:
    """The question with a pronoun in the phrase's place."""
    own, start, end = question[phrase.start : phrase.end], phrase.start, phrase.end
    pronoun = _pronoun(own, phrase, passage)
    if pronoun == "it" and turn[0].startswith("Who ") and own in turn[1] and own[0].isupper():
        pronoun = draw.choice(("he", "he", "she"))
    subject, object_, owner = _FORMS[pronoun]
    if phrase.after in ("'s", "’s"):
        put, end = owner, end + 2
    elif phrase.before in ("in", "at") and pronoun == "it" and draw.random() < 0.6:
        put, start = "there", start - len(phrase.before) - 1
    elif phrase.before in AUXILIARIES or (_acts(phrase) and phrase.before not in PREPOSITIONS - _BEFORE_CLAUSES):
        put = subject
    else:
        put = object_
    if put == "it" and not phrase.after and draw.random() < 0.3:
        put = draw.choice(("this", "that"))
    message = f"{question[:start]}{put}{question[end:]}"
    return message[0].upper() + message[1:]


def _acts(phrase: _Phrase) -> bool:
    return phrase.after in AUXILIARIES or is_verb(phrase.after)


def _pronoun(own: str, phrase: _Phrase, passage: str) -> str:
    """By the verb beside it, by its ending, and by the pronouns that follow it in the passage."""
    verbs = {phrase.before, phrase.after}
    the = own.lower().startswith("the ")
    ends_plural = _is_plain_plural(own.split()[-1].lower()) and (the or own.islower())
    if verbs & _PLURAL or (ends_plural and not verbs & _SINGULAR):
        return "they"
    if the or own.islower():
        return "it"
    near = " ".join(
        passage[found.end() : found.end() + 160] for found in re.finditer(re.escape(own.split()[-1]), passage)
    )
    he, she = (len(re.findall(rf"\b(?:{words})\b", near, re.I)) for words in ("he|his|him", "she|her|hers"))
    return "it" if not he and not she else "he" if he >= she else "she"


def _another(draw: random.Random, question: str, turns: Sequence[Turn], passage: str) -> Made | None:
    """A question before that differs in one thing alone: that thing."""
    for turn in draw.sample(list(turns), len(turns)):
        own, other = ([found.group() for found in _TOKEN.finditer(text)] for text in (question, turn[0]))
        compared = SequenceMatcher(None, other, own, autojunk=False).get_opcodes()
        changes = [change for change in compared if change[0] != "equal"]
        if len(changes) != 1 or changes[0][0] != "replace":
            continue
        _, from_, to, first, end = changes[0]
        if own[first - 1].lower() in ("the", "a", "an"):
            from_, first = from_ - 1, first - 1
        alike = _is_named(own[first:end]) == _is_named(other[from_:to])
        if (
            len(own) - (end - first) >= 4
            and first > 1
            and alike
            and _is_thing(other, from_, to)
            and _is_thing(own, first, end)
        ):
            places = list(_TOKEN.finditer(question))
            return _about(draw, question, (places[first].start(), places[end - 1].end())), turn
    return None


def _is_thing(words: Sequence[str], first: int, end: int) -> bool:
    """Whether words of a question name something: a name or number, or what an article or a preposition begins."""
    own = [word.lower() for word in words[first:end]]
    small = [word for word in words[first:end] if word.islower()]
    if len(own) > _LONGEST_PHRASE or any(word in AUXILIARIES | PREPOSITIONS | {"not", "'s", "’s"} for word in own):
        return False
    if any(is_verb(word) for word in small):
        return False
    if _is_named(words[first:end]):
        return end == len(words) or words[end].lower() in AUXILIARIES | PREPOSITIONS or is_verb(words[end])
    whole = end == len(words) or words[end].lower() in AUXILIARIES
    return whole and (own[0] == "the" or words[first - 1].lower() in PREPOSITIONS | {"many"})


def _is_named(words: Sequence[str]) -> bool:
    return any(word[0].isupper() or word[0].isdigit() for word in words)


def _of_another(draw: random.Random, question: str, turns: Sequence[Turn], passage: str) -> Made | None:
    """The same asked before of another name or year of the passage."""
    found = [
        (span, kind) for span, kind in things(question, passage)
        if kind in ("name", "year") and question[: span[0]].count(" ") >= 2 and _is_whole(question, span)
    ]  # fmt: skip
    if not found:
        return None
    span, kind = draw.choice(found)
    own = question[slice(*span)]
    others = [
        text for place, other in things(passage, passage)
        if other == kind and (text := passage[slice(*place)]).lower() not in question.lower() and own not in text
    ]  # fmt: skip
    if not others:
        return None
    asked = f"{question[: span[0]]}{draw.choice(nearest_in_length(own, others))}{question[span[1] :]}"
    answers = [text for place, other in things(passage, passage) if (text := passage[slice(*place)]) not in asked]
    answer = draw.choice(answers) if answers and draw.random() < 0.8 else NOT_IN_PASSAGES
    return _about(draw, question, span), (asked, answer)


def _is_whole(question: str, span: tuple[int, int]) -> bool:
    """Whether no noun follows that the words would only describe, and none before that describes them."""
    after = _TOKEN.match(question[span[1] :].lstrip())
    before = question[: span[0]].split()[-1].lower()
    following = after.group().lower() if after else ""
    ends = not following or following in AUXILIARIES | PREPOSITIONS or is_verb(following)
    free = question[span[0] - 1] == " " and question[span[1]] in " ?,"
    return free and ends and (before in _LEFT | {"the"} or is_verb(before))


def _about(draw: random.Random, question: str, span: tuple[int, int]) -> str:
    """ "And in 1990?" of the question and the characters of 1990."""
    own = question[slice(*span)]
    before = question[: span[0]].split()
    if before[-1].lower() == "the":
        own, before = f"the {own}", before[:-1]
    placed = f"{before[-1].lower()} {own}" if before[-1].lower() in PREPOSITIONS else own
    return draw.choice(
        (f"And {placed}?", f"And {placed}?", f"What about {own}?", f"How about {own}?", f"And what about {own}?",
         f"But {placed}?", f"Same for {own}?")
    )  # fmt: skip


def _clause(draw: random.Random, question: str, turns: Sequence[Turn], passage: str) -> Made | None:
    """Whether it was so is asked first, and then only when, where, why or how."""
    found = _OF_CLAUSE.fullmatch(question)
    if found is None or _POINTS.search(question):
        return None
    asked, auxiliary, rest = found.groups()
    words = rest.split()
    if words[-1] in PREPOSITIONS or not any(map(is_verb, words)):
        return None
    forms = [f"{asked}?", f"And {asked.lower()}?", f"{asked} exactly?"]
    if asked == "Why":
        forms += ["Why is that?", "How come?", "But why?"][: 1 if auxiliary in ("is", "are", "does", "do") else 0]
    if auxiliary == "did":
        forms += [f"{asked} did that happen?", f"{asked} was that?"]
    return draw.choice(forms), (
        f"{auxiliary.capitalize()} {rest}?",
        draw.choice(("Yes.", "Yes, according to your documents.")),
    )


def _whole(draw: random.Random, question: str, turns: Sequence[Turn], passage: str) -> Made | None:
    """As it stands, most of all where it has a pronoun for something of its own."""
    share = _SHARE_OF_POINTING_LEFT_WHOLE if _POINTS_BACK.search(question) else _SHARE_LEFT_WHOLE
    if not turns or draw.random() > share:
        return None
    return question, draw.choice(turns)


def _bare(text: str) -> str:
    return " ".join(found.group().lower() for found in _TOKEN.finditer(text))


_MAKERS: dict[str, Callable[[random.Random, str, Sequence[Turn], str], Made | None]] = {
    "pointing": _pointing,
    "another": _another,
    "of another": _of_another,
    "clause": _clause,
    "whole": _whole,
}
