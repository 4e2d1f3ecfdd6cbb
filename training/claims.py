"""Claims and passages that support them or do not, made of question-answering rows and of bare texts.

Each true claim stands beside a false one of the same making, so that neither its form nor its words give it away: the
answer of a question and another thing of the same kind from the same passage, a sentence and the same with a number, a
name or a relation changed, a claim and a passage of the same article without it. Unanswerable questions get the most
likely wrong answer. English.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.tasks.sentences import sentence_spans
from training.alterations import ALTERED, altered, in_one_list, lightly_edited, nearest_in_length, things
from training.statements import asked_and_answered, statement
from training.tasks.answer_rows import NO_ANSWER, laid_out

SUPPORTED, UNSUPPORTED = "supported", "unsupported"
ADVERSARIAL = frozenset({"another answer", "unanswerable", *ALTERED})
"""The kinds of unsupported claims that keep the words of their own passage."""
_WINDOW_WORDS = (40, 70, 100, 130, 155)
_SHORTEST_SENTENCE, _LONGEST_SENTENCE = 6, 42
_LONGEST_CLAIM_CHARACTERS = 400
_LONGEST_SWAPPED_ANSWER = 7
_REMEMBERED = 6
_TOKENISED = re.compile(r" [,.;](?: |$)")
_TOKENISING = (
    (re.compile(r"(?:``|'') ?([^`']*?) ?''"), r'"\1"'),
    (re.compile(r" ([,.;:?!%)\]]|'s\b|'\s|n't\b)"), r"\1"),
    (re.compile(r"([(\[$£€]) "), r"\1"),
    (re.compile(r"(\w) - (\w)"), r"\1-\2"),
    (re.compile(r" -- "), " – "),
)
_WORD = re.compile(r"[^\W_]{2,}")
_KIND_ASKED = (
    (re.compile(r"\b(?:when|(?:what|which) (?:year|date|century|decade))\b"), ("year", "number")),
    (re.compile(r"\bhow (?:many|much|long|old|far|tall|large|big)\b|\bpercent"), ("number", "year")),
    (re.compile(r"\b(?:who|whom|whose|where)\b"), ("name", "phrase")),
)


@dataclass(frozen=True)
class _Window:
    """Neighbouring sentences of a passage, and the sentence in them that a claim is about."""

    text: str
    sentence: str
    before: str


class ClaimRows:
    """Turns source rows into rows of `text` (the passage), `claim`, `label`, `kind` and, where there is one, `title`.

    A source row is a question with its passage and answers in any layout of `answer_rows.py`, in Natural Questions' as
    QED and "Lost in the Middle" have it, or a `text` with one paragraph a line. Rows depend on the seed and on the
    rows before, of which some passages are remembered; a question asked before of the same passage gives nothing.

    Args:
        seed: The same seed and rows give the same claims.
        of_text: Pairs of claims made of one bare text, at most.
        part_of: Names the part that a title's rows go to, so that no passage of one part is shown in another.
    """

    def __init__(self, seed: int, of_text: int, part_of: Callable[[str], str] = lambda title: "") -> None:
        self._seed, self._of_text, self._part_of = seed, of_text, part_of
        self._passages: dict[str, dict[str, list[str]]] = defaultdict(dict)
        self._asked: set[tuple[str, str]] = set()

    def __call__(self, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The claims of one source row.

        Raises:
            ValueError: the row is in no known layout.
        """
        title = str(values.get("title") or "").replace("_", " ")
        if isinstance(values.get("text"), str) and not {"question", "paragraphs", "long_answer"} & set(values):
            made = self._of_bare_text(title, values["text"])
        else:
            made = (row for asked in laid_out(_known_layout(values)) for row in self._of_question(title, asked))
        for passage, claim, kind in made:
            label = SUPPORTED if kind in ("answer", "sentence") else UNSUPPORTED
            if len(claim) <= _LONGEST_CLAIM_CHARACTERS:
                yield {"title": _group(title), "text": passage, "claim": claim, "label": label, "kind": [kind]}

    def _of_bare_text(self, title: str, text: str) -> Iterator[tuple[str, str, str]]:
        draw = random.Random(f"{self._seed}:{text}")
        paragraphs = [part.strip() for part in text.split("\n") if len(part.split()) >= _WINDOW_WORDS[0]]
        made: set[str] = set()
        for _ in range(2 * self._of_text if paragraphs else 0):
            if len(made) == self._of_text:
                break
            paragraph = draw.choice(paragraphs)
            window = _window(draw, paragraph, None)
            if window is None or window.sentence in made:
                continue
            made.add(window.sentence)
            yield from self._told(draw, title, window, paragraphs)
        self._remember(title, draw.sample(paragraphs, min(len(paragraphs), 3)))

    def _told(
        self, draw: random.Random, title: str, window: _Window, others: Sequence[str]
    ) -> Iterator[tuple[str, str, str]]:
        """A sentence and one that is not supported; nothing where no change fits."""
        claim = lightly_edited(draw, window.sentence, title=title, before=window.before)
        if draw.random() < 0.18 and (elsewhere := self._without(draw, title, claim, others)):
            passage, kind = elsewhere
            yield window.text, claim, "sentence"
            yield passage, claim, kind
            return
        kinds = draw.sample(list(ALTERED), len(ALTERED))
        if found := altered(draw, claim, window.text, kinds):
            yield window.text, claim, "sentence"
            yield window.text, *found

    def _of_question(self, title: str, row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        question, passage = str(row["question"]).strip(), str(row["text"])
        if len(question.split()) < 3 or (question, passage) in self._asked:
            return
        self._asked.add((question, passage))
        draw = random.Random(f"{self._seed}:{question}:{passage}")
        answers = list(zip(row["answers"], row["starts"], strict=True))
        if said := [(answer, start) for answer, start in answers if _WORD.search(answer) or answer.isalnum()]:
            yield from self._answered(draw, title, question, said, passage)
        elif row["answers"] == [NO_ANSWER]:
            yield from self._unanswerable(draw, title, question, passage)
        self._remember(title, [passage])

    def _answered(
        self, draw: random.Random, title: str, question: str, answers: Sequence[tuple[str, int]], passage: str
    ) -> Iterator[tuple[str, str, str]]:
        answer, start = min(answers, key=lambda one: len(one[0]))
        window = _window(draw, passage, start)
        if window is None or answer not in window.text:
            return
        forms = _forms(draw, question, answer)
        other = _other_answer(draw, question, [one for one, _ in answers], window.text)
        if other is not None:
            own = forms[0]
            yield window.text, own(answer), "answer"
            yield window.text, own(other), "another answer"
        if draw.random() < 0.5:
            yield from self._told(draw, title, window, self._known(title).get(title, ()))
        elif found := self._without(draw, title, answer, self._known(title).get(title, ())):
            own = forms[-1]
            yield window.text, own(answer), "answer"
            yield found[0], own(answer), found[1]

    def _unanswerable(
        self, draw: random.Random, title: str, question: str, passage: str
    ) -> Iterator[tuple[str, str, str]]:
        window = _window(draw, passage, _nearest(question, passage))
        guess = None if window is None else _guess(draw, question, window)
        if window is None or guess is None:
            return
        yield window.text, _forms(draw, question, guess)[0](guess), "unanswerable"
        yield window.text, lightly_edited(draw, window.sentence, title=title, before=window.before), "sentence"

    def _without(self, draw: random.Random, title: str, said: str, others: Sequence[str]) -> tuple[str, str] | None:
        """Another passage that does not hold what was said, and its kind; rarely one about something else."""
        known = self._known(title)
        strangers = [text for name, texts in known.items() if name != title for text in texts]
        kind = "something else" if strangers and draw.random() < 0.25 else "another passage"
        found = strangers if kind == "something else" else list(others)
        for passage in draw.sample(found, min(4, len(found))):
            window = _window(draw, passage, None)
            if window is not None and _held(said, passage) < 0.6:
                return window.text, kind
        return None

    def _known(self, title: str) -> dict[str, list[str]]:
        """Passages by title, of the part that this title's rows go to."""
        return self._passages[self._part_of(_group(title))]

    def _remember(self, title: str, passages: Sequence[str]) -> None:
        known = self._known(title)
        own = known.pop(title, [])
        known[title] = [*(text for text in own if text not in passages), *passages][-_REMEMBERED:]
        while len(known) > _REMEMBERED:
            del known[next(iter(known))]


def _group(title: str) -> str:
    """A title as SQuAD writes it, so that its rows go to the same part whatever the task."""
    return title.replace(" ", "_")


def _known_layout(values: Mapping[str, Any]) -> dict[str, Any]:
    """The row with `question`, `context` and `answers`, without the blanks of texts written as tokens."""
    if isinstance(values.get("long_answer"), str):
        long, short = values["long_answer"], [one for one in values["short_answers"] if one in values["long_answer"]]
        return {"question": values["text"], "context": long, "answers": short}
    found = dict(values)
    given = found.get("answers")
    if isinstance(given, list) and given and isinstance(given[0], list):  # QED: parts of each annotator's answer
        found["answers"] = [part["string"] for parts in given for part in parts if len(parts) == 1]
    context = found.get("context")
    if isinstance(context, str) and len(_TOKENISED.findall(context)) > 1:
        found["context"] = written(context)
        found["answers"] = [one for one in map(written, found["answers"]) if one in found["context"]]
    return found


def written(text: str) -> str:
    """A text of tokens with blanks between them as one would write it."""
    for pattern, put in _TOKENISING:
        text = pattern.sub(put, text)
    return text.strip()


def _forms(draw: random.Random, question: str, answer: str) -> list[Callable[[str], str]]:
    """The ways to claim an answer, the one drawn first: as a statement where the rules can, or behind the question.

    A statement behind its question is among them, as not every sentence is seen to be one (`agent/grounding.py`).
    """

    def stated(said: str) -> str:
        return statement(question, said) or asked_and_answered(question, said)

    def asked(said: str) -> str:
        return asked_and_answered(question, said)

    def both(said: str) -> str:
        return f"{question.rstrip('?. ')}? {stated(said)}"

    if statement(question, answer) is None:
        return [asked]
    first = draw.choices([stated, asked, both], (6, 3, 1))[0]
    return [first, asked if first is stated else stated]


def _window(draw: random.Random, passage: str, evidence: int | None) -> _Window | None:
    """Sentences around the one at a character, or around one drawn; None where it is no sentence to claim."""
    spans = sentence_spans(passage)
    fit = [at for at, (start, end) in enumerate(spans) if _claimable(passage[start:end])]
    if evidence is None:
        at = draw.choice(fit) if fit else None
    else:
        at = next((at for at, (_, end) in enumerate(spans) if evidence < end), None)
    if at is None:
        return None
    first, last, room = at, at, draw.choice(_WINDOW_WORDS)
    size = [len(passage[start:end].split()) for start, end in spans]
    room -= size[at]
    while True:
        sides = [side for side in (first - 1, last + 1) if 0 <= side < len(spans) and size[side] <= room]
        if not sides:
            break
        side = draw.choice(sides)
        first, last, room = min(first, side), max(last, side), room - size[side]
    text = passage[spans[first][0] : spans[last][1]]
    if len(text.split()) > _WINDOW_WORDS[-1]:
        return None
    before = passage[slice(*spans[at - 1])] if at > first else ""
    return _Window(text, passage[slice(*spans[at])], before)


def _claimable(sentence: str) -> bool:
    whole = sentence[0].isupper() and sentence[-1] == "." and sentence.count('"') % 2 == 0
    return whole and _SHORTEST_SENTENCE <= len(sentence.split()) <= _LONGEST_SENTENCE


def _other_answer(draw: random.Random, question: str, answers: Sequence[str], text: str) -> str | None:
    """Something of the same kind as the answers that is none of them and stands in no list with one."""
    shortest = min(answers, key=len)
    if len(shortest.split()) > _LONGEST_SWAPPED_ANSWER:
        return None
    kind = kind_of(shortest)
    places = [(found.start(), found.end()) for one in set(answers) for found in re.finditer(re.escape(one), text)]
    lowered = [answer.lower() for answer in answers] + [question.lower()]
    others = [
        text[slice(*span)]
        for span, own in things(text, text)
        if own == kind
        and not any(text[slice(*span)].lower() in one or one in text[slice(*span)].lower() for one in lowered)
        and not set(_WORD.findall(text[slice(*span)].lower())) & set(_WORD.findall(" ".join(lowered[:-1])))
        and not any(in_one_list(text, span, place) for place in places)
    ]
    return draw.choice(nearest_in_length(shortest, others)) if others else None


def kind_of(answer: str) -> str:
    """The kind of thing that an answer names: "year", "number", "name" or "phrase"."""
    if re.search(r"\b(?:1\d{3}|20\d\d)s?\b", answer):
        return "year"
    if re.search(r"\d", answer):
        return "number"
    words = [word for word in answer.split() if len(word) > 3] or answer.split()
    return "name" if words and all(word[0].isupper() for word in words) else "phrase"


def _guess(draw: random.Random, question: str, window: _Window) -> str | None:
    """The likeliest wrong answer: of the kind that is asked for, from the sentence most like the question."""
    lowered = question.lower()
    kinds = next((kinds for asked, kinds in _KIND_ASKED if asked.search(lowered)), ("phrase", "name"))
    if kinds == ("phrase", "name") and draw.random() < 0.5:
        kinds = ("name", "phrase")
    for text in (window.sentence, window.text):
        for kind in kinds:
            found = [text[slice(*span)] for span, own in things(text, window.text) if own == kind]
            fresh = [one for one in found if not set(_WORD.findall(one.lower())) & set(_WORD.findall(lowered))]
            if fresh:
                return draw.choice(fresh)
    return None


def _nearest(question: str, passage: str) -> int:
    """Where the sentence begins that shares most words with the question."""
    asked = set(_WORD.findall(question.lower()))
    spans = sentence_spans(passage) or [(0, 0)]
    return max(spans, key=lambda span: len(asked & set(_WORD.findall(passage[slice(*span)].lower()))))[0]


def _held(said: str, passage: str) -> float:
    """The share of the words that a passage holds, 1 where it holds all of it together."""
    if said.lower().rstrip(".") in passage.lower():
        return 1.0
    words = set(_WORD.findall(said.lower()))
    return len(words & set(_WORD.findall(passage.lower()))) / max(1, len(words))
