"""What the task verbs do: each handler gives a JSON-able value for one text, or runs the batch form.

Imports of anything heavy happen when a handler runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.task_forms import Row, run_verb


def _tasks(house: Any) -> Any:
    from models.tasks.open import Tasks

    return Tasks.of(house)


def classify(options: argparse.Namespace, house: Any) -> Any:
    """Every label of a text with its probability; with `--labels` or a row's `labels` they are one's own."""
    tasks, labels = _tasks(house), _split(options.labels)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        own = [tuple(row["labels"]) if "labels" in row else tuple(labels or ()) for row in rows]
        results: list[Any] = [None] * len(rows)
        for group in dict.fromkeys(own):
            indices = [index for index, choice in enumerate(own) if choice == group]
            texts = [rows[index]["text"] for index in indices]
            if group or labels is not None:
                found = zero_shot().many(texts, group)
            else:
                found = trained().many(texts, _pairs([rows[index] for index in indices], options.pair))
            for index, result in zip(indices, found, strict=True):
                results[index] = result
        return [
            {"label": one.label, "score": one.score, "labels": one.to_json(), "chosen": list(one.chosen)}
            for one in results
        ]

    def trained() -> Any:
        return tasks.classifier(options.model)

    def zero_shot() -> Any:
        return tasks.zero_shot(options.model)

    def one(text: str) -> Any:
        if labels is None:
            return trained()(text, options.pair).to_json()
        return zero_shot().many([text], labels)[0].to_json()

    if options.input and labels is None and tasks.named("classify", options.model):
        trained()  # an unknown or unfit model is named before any row is read
    return run_verb(options, one, many, check=_check_labels)


def _pairs(rows: Sequence[Row], pair: str | None) -> list[str] | None:
    """The second text of each row, its own or the one given for all; None where there is none at all."""
    found = [str(row.get("text_pair") or pair or "") for row in rows]
    return found if any(found) else None


def _check_labels(row: Row) -> str | None:
    labels = row.get("labels")
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return "has labels that are no list of texts"
    return "has fewer than 2 different labels" if len({label.strip() for label in labels} - {""}) < 2 else None


def translate(options: argparse.Namespace, house: Any) -> Any:
    """A translation; a row may name its own `to` and `from`."""
    if not options.to and not options.input:
        options.parser.error("--to LANG is missing")
    translator = _tasks(house).translator(options.model)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        pairs = [(str(row.get("to") or options.to), row.get("from") or options.source) for row in rows]
        results: list[Any] = [None] * len(rows)
        for pair in dict.fromkeys(pairs):
            indices = [index for index, own in enumerate(pairs) if own == pair]
            found = translator.many([rows[index]["text"] for index in indices], to=pair[0], source=pair[1])
            for index, result in zip(indices, found, strict=True):
                results[index] = result.to_json()
        return results

    def check(row: Row) -> str | None:
        return None if row.get("to") or options.to else "names no target language (field `to`, or --to)"

    def one(text: str) -> Any:
        return translator(text, to=options.to, source=options.source).to_json()

    return run_verb(options, one, many, check=check, rows_at_once=256)


def extract(options: argparse.Namespace, house: Any) -> Any:
    """The span of a text that answers `--question` or a row's `question`."""
    if not options.question and not options.input:
        options.parser.error("--question is missing")
    extractor = _tasks(house).extractor(options.model)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        questions = [row.get("question") or options.question for row in rows]
        return [found.to_json() for found in extractor.many(questions, [row["text"] for row in rows])]

    def check(row: Row) -> str | None:
        asked = row.get("question") or options.question
        return None if isinstance(asked, str) and asked.strip() else "has no question (field `question`, or --question)"

    return run_verb(
        options, lambda text: extractor(options.question, text).to_json(), many, check=check, rows_at_once=256
    )


def entities(options: argparse.Namespace, house: Any) -> Any:
    """The named entities of a text."""
    recognizer = _tasks(house).entities(options.model)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        found = recognizer.many([row["text"] for row in rows])
        return [{"entities": [entity.to_json() for entity in own]} for own in found]

    return run_verb(options, lambda text: many([{"text": text}])[0]["entities"], many)


def fill_mask(options: argparse.Namespace, house: Any) -> Any:
    """The words for each gap; the list itself where there is one gap."""
    filler = _tasks(house).mask_filler(options.model)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        found = filler.many([row["text"] for row in rows], top_k=options.top_k)
        return [{"filled": [[word.to_json() for word in gap] for gap in own]} for own in found]

    def one(text: str) -> Any:
        filled = many([{"text": text}])[0]["filled"]
        return filled[0] if len(filled) == 1 else filled

    return run_verb(options, one, many)


def features(options: argparse.Namespace, house: Any) -> Any:
    """The mean vector of a text, or with `--tokens` every token's."""
    extractor = _tasks(house).features(options.model)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        found = extractor.many([row["text"] for row in rows])
        return [own.to_json() if options.tokens else {"vector": own.mean().tolist()} for own in found]

    return run_verb(options, lambda text: many([{"text": text}])[0], many, rows_at_once=128)


def similarity(options: argparse.Namespace, house: Any) -> Any:
    """The cosine of two texts; a row holds them as `text` and `other`."""
    similarity = _tasks(house).similarity()

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        vectors = similarity.vectors([text for row in rows for text in (row["text"], row["other"])])
        return [{"score": float(vectors[at] @ vectors[at + 1])} for at in range(0, len(vectors), 2)]

    if not options.input and not options.other:
        options.parser.error("the second text is missing")
    return run_verb(options, lambda text: {"score": similarity(text, options.other)}, many, required=("text", "other"))


def rank(options: argparse.Namespace, house: Any) -> Any:
    """The candidates by relevance to the query; a row holds them as `texts`."""
    ranker = _tasks(house).ranker(options.model)

    def one(query: str) -> list[dict[str, Any]]:
        return [item.to_json() for item in ranker.rank(query, options.texts, top_k=options.top_k)]

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        found = [ranker.rank(row["text"], row["texts"], top_k=options.top_k) for row in rows]
        return [{"ranked": [item.to_json() for item in own]} for own in found]

    def check(row: Row) -> str | None:
        texts = row.get("texts")
        if isinstance(texts, list) and texts and all(isinstance(text, str) and text.strip() for text in texts):
            return None
        return "has no list of texts in the field 'texts'"

    if not options.input and not options.texts:
        options.parser.error("the texts to rank are missing")
    return run_verb(options, one, many, check=check, rows_at_once=64)


def table_answer(options: argparse.Namespace, house: Any) -> Any:
    """The cells that answer; a row may bring its own `table` as a list of objects."""
    if not options.table and not options.input:
        options.parser.error("--table F.csv is missing")
    answerer = _tasks(house).table_answerer(options.model)

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        return [answerer(row["text"], row.get("table") or _read_csv(options.table)).to_json() for row in rows]

    def check(row: Row) -> str | None:
        if isinstance(row.get("table"), list) and all(isinstance(own, dict) for own in row["table"]):
            return None
        return None if options.table and "table" not in row else "has no table as a list of objects (field `table`)"

    return run_verb(options, lambda text: many([{"text": text}])[0], many, check=check, rows_at_once=16)


def _read_csv(path: Path) -> list[dict[str, Any]]:
    import csv

    from models.tasks.errors import BadTable

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file, strict=True))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadTable(
            f"The table {path.name} cannot be read as CSV ({error}): save it as UTF-8 with a header."
        ) from error


def language(options: argparse.Namespace, house: Any) -> Any:
    """The language of a text with its English name."""
    from models.tasks.language import languages
    from models.tasks.language_codes import language_name

    def facts(text: str) -> dict[str, Any]:
        best = languages(text)[0]
        return {"language": best.code, "name": language_name(best.code), "score": best.score}

    return run_verb(options, facts, lambda rows: [facts(row["text"]) for row in rows])


def _split(labels: str | None) -> list[str] | None:
    return None if labels is None else [label.strip() for label in labels.split(",") if label.strip()]
