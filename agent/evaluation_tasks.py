"""The language tasks judged on a file of rows: accuracy and F1, BLEU and chrF, or ROUGE.

The models are opened as the verbs open them, so a score is of what a person would get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import BadInput
from agent.evaluation import read_lines

if TYPE_CHECKING:
    from agent.assembly import House

_AT_ONCE = 256


@dataclass(frozen=True)
class Example:
    """One row: the text, what is expected of it, and for translation its languages."""

    text: str
    expected: tuple[str, ...]
    source: str | None = None
    target: str | None = None


def evaluate_classification(
    house: House, data: Path, *, model: str | None = None, labels: Sequence[str] | None = None, limit: int | None = None
) -> dict[str, Any]:
    """`{accuracy, macro_f1, n, model}` over `{text, label}` rows.

    A trained classifier where one is named or configured; else the labels of the file, or those given, are chosen among
    without training. Labels given as numbers are the trained model's own, by position.

    Raises:
        BadInput: no rows, or one without text or label.
        TooFewLabels: fewer than two different labels.
    """
    from models.task_metrics import classification_scores
    from models.tasks import Tasks

    examples = read_examples(data, ("label",), limit)
    tasks, texts = Tasks.of(house), [example.text for example in examples]
    expected = [example.expected[0] for example in examples]
    if labels is None and tasks.named("classify", model):
        trained = tasks.classifier(model)
        own, name = trained.labels, trained.name
        expected = [own[int(e)] if e.isdigit() and e not in own and int(e) < len(own) else e for e in expected]
        predicted = [found.label for part in _parts(texts) for found in trained.many(part)]
    else:
        zero_shot = tasks.zero_shot(model)
        wanted, name = list(labels or dict.fromkeys(sorted(expected))), zero_shot.name
        predicted = [found.label for part in _parts(texts) for found in zero_shot.many(part, wanted)]
    return _rounded(classification_scores(predicted, expected)) | {"n": len(examples), "model": name}


def evaluate_translation(
    house: House,
    data: Path,
    *,
    model: str | None = None,
    to: str | None = None,
    source: str | None = None,
    lowercase: bool = False,
    limit: int | None = None,
) -> dict[str, Any]:
    """`{bleu, chrf, signature, n, model}` over `{text, reference or references, from, to}` rows.

    Raises:
        BadInput: no rows, or one without text, reference or target language.
        NoTaskModel: no translation model is named.
    """
    from models.task_metrics import translation_scores
    from models.tasks import Tasks

    examples = read_examples(data, ("references", "reference"), limit)
    translator = Tasks.of(house).translator(model)
    pairs = [(example.target or to, example.source or source) for example in examples]
    predicted = [""] * len(examples)
    for target, own in dict.fromkeys(pairs):
        if target is None:
            raise BadInput(f"{data.name}: a row names no target language; give it as `to` in the row or with --to.")
        indices = [index for index, pair in enumerate(pairs) if pair == (target, own)]
        found = translator.many([examples[index].text for index in indices], to=target, source=own)
        for index, result in zip(indices, found, strict=True):
            predicted[index] = result.translation
    scores = translation_scores(predicted, [example.expected for example in examples], lowercase=lowercase)
    return _rounded(scores) | {"n": len(examples), "model": translator.name}


def evaluate_summaries(
    house: House, data: Path, *, model: str | None = None, words: int = 60, limit: int | None = None
) -> dict[str, Any]:
    """`{rouge1, rouge2, rougeL, n, model, method}` over `{text, reference or references}` rows.

    Raises:
        BadInput: no rows, or one without text or reference.
    """
    from models.task_metrics import summary_scores
    from models.tasks import Tasks

    examples = read_examples(data, ("references", "reference"), limit)
    summarizer = Tasks.of(house).summarizer(model)
    found = [summarizer(example.text, words=words) for example in examples]
    scores = summary_scores([one.summary for one in found], [example.expected for example in examples])
    return _rounded(scores) | {"n": len(examples), "model": found[0].model, "method": found[0].method}


def read_examples(path: Path, fields: Sequence[str], limit: int | None = None) -> list[Example]:
    """Rows of `text` and the first of `fields` that is there, gzipped or not.

    Raises:
        BadInput: no rows, or one that lacks a field, with its line.
    """
    examples: list[Example] = []
    for number, row in read_lines(path):
        if limit is not None and len(examples) >= limit:
            break
        value = next((row[field] for field in fields if row.get(field) is not None), None)
        expected = tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)
        text = row.get("text")
        if value is None or not expected or not isinstance(text, str) or not text.strip():
            raise BadInput(
                f"{path.name}, line {number} has the columns {sorted(row)}; expected text and {' or '.join(fields)}."
            )
        examples.append(Example(text, expected, row.get("from"), row.get("to")))
    if not examples:
        raise BadInput(f"{path.name} has no rows; expected lines of text and {' or '.join(fields)}.")
    return examples


def _parts(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE)]


def _rounded(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in scores.items()}
