"""Named entities with their offsets: one label a word, neighbouring words of one entity joined.

Long texts are read in overlapping windows; each word is judged in the window where it stands furthest from an edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.tasks.base import TaskModel, as_texts
from models.tasks.windows import Window, batches, padded, windows_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OUTSIDE = "O"
_BEGIN, _INSIDE, _END, _SINGLE = "B", "I", "E", "S"


@dataclass(frozen=True)
class Entity:
    """A named entity: `text == source[start:end]`; `score` is the mean probability of its words."""

    text: str
    label: str
    score: float
    start: int
    end: int

    def to_json(self) -> dict[str, Any]:
        """`{text, label, score, start, end}`."""
        return {"text": self.text, "label": self.label, "score": self.score, "start": self.start, "end": self.end}


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    tag: str
    score: float


class EntityRecognizer(TaskModel):
    """A token classifier trained on entity tags (B-/I-, also E-/S-, or bare types)."""

    role_name = "entities"

    def __call__(self, text: str) -> list[Entity]:
        """The entities of one text; see `many`."""
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[list[Entity]]:
        """The entities of each text, in the order they stand.

        Raises:
            EmptyText: a text is empty.
        """
        found = as_texts(texts)
        tokenizer = self.load().tokenizer
        windows = text_windows(tokenizer, found, self.window)
        scores = self._probabilities(windows)
        members: list[list[int]] = [[] for _ in found]
        for index, window in enumerate(windows):
            members[window.sample].append(index)
        return [
            join(text, self._words([windows[index] for index in own], [scores[index] for index in own]))
            for text, own in zip(found, members, strict=True)
        ]

    def _words(self, windows: Sequence[Window], scores: Sequence[NDArray[np.float64]]) -> list[_Word]:
        """Every word of a text with its tag: that of its first token, in the window where it is most central."""
        names = self.load().model.config.id2label
        best: dict[int, tuple[tuple[int, int], str, float]] = {}
        ends: dict[int, int] = {}
        for window, rows in zip(windows, scores, strict=True):
            for word, (first, start, end) in word_spans(window).items():
                # a window may begin or end inside a word: its true first token goes before the most central place
                place = (start, -min(first, len(window) - 1 - first))
                if word not in best or place < best[word][0]:
                    tag = int(rows[first].argmax())
                    best[word] = (place, str(names[tag]), float(rows[first][tag]))
                ends[word] = max(end, ends.get(word, 0))
        return [_Word(place[0], ends[word], tag, score) for word, (place, tag, score) in sorted(best.items())]

    def _probabilities(self, windows: Sequence[Window]) -> list[NDArray[np.float64]]:
        import torch

        tokenizer = self.load().tokenizer
        rows: list[Any] = [None] * len(windows)
        for indices in batches(windows):
            batch = padded(tokenizer, [windows[index] for index in indices])
            scores = torch.softmax(self._forward(**batch).logits.float(), -1).double().cpu().numpy()
            for row, index in enumerate(indices):
                length = len(windows[index])
                rows[index] = scores[row, -length:] if tokenizer.padding_side == "left" else scores[row, :length]
        return rows


def text_windows(tokenizer: Any, texts: Sequence[str], window: int) -> list[Window]:
    """The windows in which texts are read, a quarter of each shared with the next."""
    return windows_of(tokenizer, texts, window=window, stride=window // 4)


def word_spans(window: Window) -> dict[int, tuple[int, int, int]]:
    """For each word of a window its first token there, and its start and end in the text as far as the window goes."""
    found: dict[int, tuple[int, int, int]] = {}
    for position, (word, body) in enumerate(zip(window.words, window.body, strict=True)):
        start, end = window.offsets[position]
        if word is None or not body or start == end:
            continue
        if word in found:
            first, begun, _ = found[word]
            found[word] = (first, begun, end)
        else:
            found[word] = (position, start, end)
    return found


def join(text: str, words: Sequence[_Word]) -> list[Entity]:
    """Words to entities, by `groups_of` their tags."""
    return [_entity(text, words[first:end]) for first, end, _ in groups_of([word.tag for word in words])]


def groups_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """First and last word, the last one exclusive, and type of each entity.

    B- and S- begin one; the rest go on with a neighbour of the same type, or begin one: so IOB1, BIO and BIOES are read
    alike, and bare types too.
    """
    groups: list[tuple[int, int, str]] = []
    before = _OUTSIDE
    for index, tag in enumerate(tags):
        prefix, label = _parts(tag)
        ended = before == _OUTSIDE or _parts(before)[0] in (_END, _SINGLE) or _parts(before)[1] != label
        if tag != _OUTSIDE:
            if ended or prefix in (_BEGIN, _SINGLE):
                groups.append((index, index + 1, label))
            else:
                groups[-1] = (groups[-1][0], index + 1, label)
        before = tag
    return groups


def _entity(text: str, group: Sequence[_Word]) -> Entity:
    start, end = group[0].start, group[-1].end
    while start < end and text[start].isspace():  # some tokenizers count the space before a word as its part
        start += 1
    score = sum(word.score for word in group) / len(group)
    return Entity(text[start:end], _parts(group[0].tag)[1], score, start, end)


def _parts(tag: str) -> tuple[str, str]:
    prefix, dash, label = tag.partition("-")
    return (prefix, label) if dash and prefix in (_BEGIN, _INSIDE, _END, _SINGLE) else ("", tag)
