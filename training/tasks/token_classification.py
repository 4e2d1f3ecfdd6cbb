"""Token classification: names and other spans in a text, learned from words with tags or from spans with offsets.

Words are those that the served class sees: each is labelled on its first token, and its other tokens are not learned.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column, Layout, Part, Splits
from training.errors import OneClass
from training.tasks.base import IGNORED, Prediction, Row, Task, padded, padded_inputs
from training.tasks.generating import label_count

if TYPE_CHECKING:
    import torch

    from models.task_metrics import Mark
    from training.evaluation import Tally

_OUTSIDE = "O"


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    `tags` names the tags where the data has numbers; `names` gives entity types other names, such as {"PER": "person"}.
    """

    tags: tuple[str, ...] = ()
    names: dict[str, str] | None = None


class TokenClassification(Task):
    """Learns entities; served by `EntityRecognizer`.

    Rows hold `tokens` and `tags` (IOB1, BIO, BIOES or bare types, a tag a token; the text is the tokens with a space
    between), or `text` and `spans` (a list of `{start, end, label}`).
    """

    kind = "token-classification"
    role = "entities"
    auto_class = "AutoModelForTokenClassification"
    metric = "f1"
    simple_rule = "the training part's entities, found again by their words"
    Options = Options

    tags: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        return (Column("text"), Column("starts", "marks"), Column("ends", "marks"), Column("types", "marks"))

    @property
    def layout(self) -> Layout:
        return lambda values: [_laid_out(values, self.options)]

    def prepare(self, splits: Splits) -> None:
        found = sorted({label for own in splits.train.column("types") for label in own})
        if not found:
            raise OneClass(", ".join(self.recipe.data.train), "no row has an entity; there is nothing to learn.")
        self.tags = (_OUTSIDE, *(f"{prefix}-{label}" for label in found for prefix in ("B", "I")))

    def config_changes(self) -> dict[str, Any]:
        return {
            "num_labels": len(self.tags),
            "id2label": dict(enumerate(self.tags)),
            "label2id": {tag: index for index, tag in enumerate(self.tags)},
        }

    def feature(self, row: Row) -> dict[str, Any]:
        return next(self.features([row]))

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """A feature a window: one for most rows, several for texts longer than the model reads at once."""
        from models.tasks.entities import text_windows, word_spans

        for row in rows:
            for window in text_windows(self.tokenizer, [row["text"]], self.max_tokens):
                labels = [IGNORED] * len(window)
                for first, start, end in word_spans(window).values():
                    labels[first] = self._label(row, start, end)
                yield {**window.inputs, "labels": labels}

    def _label(self, row: Row, start: int, end: int) -> int:
        """The tag of the word at these characters: that of the span it is in, wholly or in part; a new type is O."""
        for begun, ended, label in marks_of(row):
            if start < ended and end > begun:
                tag = f"{'B' if start <= begun else 'I'}-{label}"
                return self.tags.index(tag) if tag in self.tags else 0
        return 0

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        labels = padded([feature["labels"] for feature in features], IGNORED)
        return padded_inputs(self.tokenizer, features) | {"labels": labels}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return label_count(batch)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        from torch.nn import functional

        logits = model(**{name: value for name, value in batch.items() if name != "labels"}).logits.float()
        smoothing = self.recipe.training.label_smoothing
        return functional.cross_entropy(
            logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum", label_smoothing=smoothing
        )

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.tasks.entities import EntityRecognizer

        served = EntityRecognizer(str(folder), home=home)
        found = served.many([row["text"] for row in rows])
        return [{"entities": [[one.start, one.end, one.label] for one in own]} for own in found]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        known = _Known(train)
        return [{"entities": [list(mark) for mark in known.find(row["text"])]} for row in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from models.task_metrics import span_scores

        return span_scores(_said(predictions), [marks_of(row) for row in rows])

    def tally(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> Tally:
        from models.task_metrics import span_counts, span_f1
        from training.evaluation import Tally

        return Tally(span_counts(_said(predictions), [marks_of(row) for row in rows]), span_f1)

    def example(self, feature: Mapping[str, Any]) -> str:
        tokens = self.tokenizer.convert_ids_to_tokens(feature["input_ids"])
        labels = [IGNORED if label is None else label for label in feature["labels"]]
        marked = (
            f"{token} ⟦{self.tags[label]}⟧" if label > 0 else token for token, label in zip(tokens, labels, strict=True)
        )
        return " ".join(marked)


def marks_of(row: Row) -> list[Mark]:
    """The spans of a row: start, end and type, in order."""
    return list(zip(row["starts"], row["ends"], row["types"], strict=True))


def _said(predictions: Sequence[Prediction]) -> list[list[Mark]]:
    return [[(int(start), int(end), str(label)) for start, end, label in one["entities"]] for one in predictions]


class _Known:
    """Entities of the training part by their words, each with its commonest type."""

    def __init__(self, train: Part) -> None:
        types: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for row in train:
            for start, end, label in marks_of(row):
                types[tuple(row["text"][start:end].split())][label] += 1
        self._types = {words: own.most_common(1)[0][0] for words, own in types.items()}
        self._longest = max(map(len, self._types), default=0)

    def find(self, text: str) -> Iterator[Mark]:
        """The known entities of a text, the longest at each place, between white space."""
        words, offset = [], 0
        for word in text.split():
            offset = text.index(word, offset)
            words.append((word, offset, offset + len(word)))
            offset += len(word)
        at = 0
        while at < len(words):
            sizes = range(min(self._longest, len(words) - at), 0, -1)
            own = (tuple(word for word, _, _ in words[at : at + size]) for size in sizes)
            match = next((found for found in own if found in self._types), None)
            if match:
                yield words[at][1], words[at + len(match) - 1][2], self._types[match]
            at += len(match) if match else 1


def _laid_out(values: dict[str, Any], options: Options) -> dict[str, Any]:
    """A row with its spans by offset; see the class for the two forms of `values`."""
    if "spans" in values and "text" in values:
        text, spans = str(values["text"]), _checked_spans(values["spans"], len(str(values["text"])))
    elif "tokens" in values and "tags" in values:
        text, spans = _from_tags(values["tokens"], values["tags"], options.tags)
    else:
        have = ", ".join(map(repr, values))
        raise ValueError(f"expected the columns 'tokens' and 'tags', or 'text' and 'spans'; the columns are {have}.")
    named = options.names or {}
    return {
        "text": text,
        "starts": [start for start, _, _ in spans],
        "ends": [end for _, end, _ in spans],
        "types": [named.get(label, label) for _, _, label in spans],
    }


def _from_tags(tokens: Any, tags: Any, names: Sequence[str]) -> tuple[str, list[Mark]]:
    from models.tasks.entities import groups_of

    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
        raise ValueError("tokens and tags must be lists of the same length.")
    written = [_tag(tag, names) for tag in tags]
    starts, text = [], ""
    for token in map(str, tokens):
        text += " " if text else ""
        starts.append(len(text))
        text += token
    return text, [
        (starts[first], starts[end - 1] + len(str(tokens[end - 1])), label) for first, end, label in groups_of(written)
    ]


def _tag(tag: Any, names: Sequence[str]) -> str:
    if isinstance(tag, int) and not isinstance(tag, bool):
        if not 0 <= tag < len(names):
            raise ValueError(f"the tag {tag} is a number without a name; set task.tags to the list of tags.")
        return names[tag]
    if not isinstance(tag, str) or not tag:
        raise ValueError(f"the tag {tag!r} is no text.")
    return tag


def _checked_spans(spans: Any, length: int) -> list[Mark]:
    found: list[Mark] = []
    for span in spans if isinstance(spans, list) else []:
        try:
            mark = (int(span["start"]), int(span["end"]), str(span["label"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the span {span!r} is no {{start, end, label}}.") from error
        if not 0 <= mark[0] < mark[1] <= length:
            raise ValueError(f"the span {mark[0]} to {mark[1]} is outside a text of {length} characters.")
        found.append(mark)
    found.sort()
    if clash := next((a for a, b in pairwise(found) if b[0] < a[1]), None):
        raise ValueError(f"the span {clash[0]} to {clash[1]} overlaps the next; a word can have one label.")
    return found
