"""Questions made from texts that nobody labelled: a sentence loses a name, a number or a phrase, which is the answer.

A first stage for extractive question answering where questions are few. Half the gaps are looked up in another
paragraph of the same text that repeats the words (Ram et al. 2021, https://arxiv.org/abs/2101.00438), the others in
the sentence's own paragraph; a question word stands for the gap, and the words around it are shaken and dropped, so
that copying does not find the answer (Lewis et al. 2019, https://arxiv.org/abs/1906.04980). English.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.tasks.askable import PLAIN, WORD, askable
from models.tasks.sentences import sentence_spans

SHORTEST_PARAGRAPH, LONGEST_PARAGRAPH = 200, 1500
"""Characters; shorter paragraphs are headings and lists, longer ones do not fit a small encoder's window."""

_ASKED = {
    "year": ("when", "what year", "in what year"),
    "number": ("how many", "how much", "what number of"),
    "name": ("who", "what", "which", "where"),
    "phrase": ("what", "what", "which", "what kind of"),
}
_WEIGHTS = {"name": 3.0, "year": 3.0, "number": 2.0, "phrase": 1.6}
_SHORTEST_SENTENCE_WORDS = 6
_MOST_OF_ONE_ANSWER = 2
_SHARED_WORDS = 3


@dataclass(frozen=True)
class _Gap:
    paragraph: int
    sentence: tuple[int, int]
    start: int
    end: int
    kind: str


class _Text:
    """One text's paragraphs and all that could be asked of them."""

    def __init__(self, text: str) -> None:
        parts = (part.strip() for part in text.split("\n"))
        self.paragraphs = [part for part in parts if SHORTEST_PARAGRAPH <= len(part) <= LONGEST_PARAGRAPH]

    @cached_property
    def gaps(self) -> list[list[_Gap]]:
        """By paragraph."""
        return [
            [
                _Gap(number, span, span[0] + start, span[0] + end, kind)
                for span in sentence_spans(paragraph)
                if len(paragraph[slice(*span)].split()) >= _SHORTEST_SENTENCE_WORDS
                for start, end, kind in askable(paragraph[slice(*span)])
            ]
            for number, paragraph in enumerate(self.paragraphs)
        ]

    @cached_property
    def places(self) -> dict[str, set[int]]:
        """Words that may be asked for -> the paragraphs that hold them."""
        found: dict[str, set[int]] = defaultdict(set)
        for gaps in self.gaps:
            for gap in gaps:
                found[self.answer(gap)].add(gap.paragraph)
        return found

    def answer(self, gap: _Gap) -> str:
        return self.paragraphs[gap.paragraph][gap.start : gap.end]

    def elsewhere(self, gap: _Gap) -> int | None:
        """The other paragraph with the same words that shares most with the gap's sentence; None where too little."""
        own = _content(self.paragraphs[gap.paragraph][slice(*gap.sentence)]) - _content(self.answer(gap))
        shared = {
            number: len(own & _content(self.paragraphs[number]))
            for number in sorted(self.places[self.answer(gap)] - {gap.paragraph})
        }
        best = max(shared, key=shared.__getitem__, default=None)
        return best if best is not None and shared[best] >= _SHARED_WORDS else None


def gap_questions(texts: Iterable[str], rows: int, seed: int | str = 0) -> Iterator[dict[str, Any]]:
    """Rows of `question`, `context` and `answers` (`text`, `answer_start`), as SQuAD 1.1 has them.

    Args:
        texts: Articles with one paragraph a line; all are kept in memory.
        rows: How many to make, at most; fewer where the texts are used up.
        seed: The same seed and texts give the same rows.
    """
    draw = random.Random(seed)
    read = [text for text in map(_Text, texts) if text.paragraphs]
    places = [(text, number) for text in read for number in range(len(text.paragraphs))]
    used: dict[tuple[str, str], int] = defaultdict(int)
    made = 0
    for _ in range(20 * rows if places else 0):
        if made == rows:
            return
        text, number = draw.choice(places)
        gap = _drawn(draw, text.gaps[number])
        if gap is None:
            continue
        other = text.elsewhere(gap) if draw.random() < 0.5 else None
        context, answer = text.paragraphs[number if other is None else other], text.answer(gap)
        if used[context, answer] == _MOST_OF_ONE_ANSWER:
            continue
        used[context, answer] += 1
        made += 1
        starts = [gap.start] if other is None else [found.start() for found in re.finditer(re.escape(answer), context)]
        yield {
            "question": _question(draw, text.paragraphs[number], gap),
            "context": context,
            "answers": {"text": [answer] * len(starts), "answer_start": starts},
        }


def _drawn(draw: random.Random, gaps: Sequence[_Gap]) -> _Gap | None:
    if not gaps:
        return None
    kinds = sorted({gap.kind for gap in gaps})
    kind = draw.choices(kinds, [_WEIGHTS[kind] for kind in kinds])[0]
    return draw.choice([gap for gap in gaps if gap.kind == kind])


def _content(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)} - PLAIN


def _question(draw: random.Random, paragraph: str, gap: _Gap) -> str:
    """A question word for the gap, then a part of what stood around it, shaken."""
    before = paragraph[gap.sentence[0] : gap.start].split()
    after = paragraph[gap.end : gap.sentence[1]].split()
    size = draw.randint(6, 16)
    kept = draw.randint(0, min(len(before), size))
    left, right = _shaken(draw, before[len(before) - kept :]), _shaken(draw, after[: size - kept])
    asked = draw.choice(_ASKED[gap.kind]).split()
    order = draw.choices((asked + right + left, left + asked + right, asked + left + right), (3, 1, 1))[0]
    question = " ".join(order)
    return question[0].upper() + question[1:] + "?"


def _shaken(draw: random.Random, words: Sequence[str]) -> list[str]:
    bare = [word.strip('.,;:()[]"“”') for word in words]
    kept = [word for word in bare if word and draw.random() > (0.3 if word.lower() in PLAIN else 0.15)]
    order = sorted(range(len(kept)), key=lambda at: at + draw.uniform(0, 2.5))
    return [kept[at] for at in order]
