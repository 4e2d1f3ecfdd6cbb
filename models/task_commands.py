"""The language tasks on the command line: one verb a task, each with its batch form for a file of rows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import task_verbs
from models.task_forms import add_batch_arguments, positive, render


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers the verbs; each sets `handler` and `render`."""
    classify = _verb(
        verbs, common, "classify", "the label of a text, trained or of your own choice", task_verbs.classify
    )
    classify.add_argument("--labels", metavar="A,B,...", help="labels of your own; without them a trained model's")
    classify.add_argument("--pair", metavar="TEXT", help="a second text, for a model trained on pairs (row: text_pair)")
    translate = _verb(verbs, common, "translate", "a text in another language", task_verbs.translate)
    translate.add_argument("--to", metavar="LANG", help="the target language, such as de or German")
    translate.add_argument("--from", dest="source", metavar="LANG", help="the source language, found where not given")
    extract = _verb(verbs, common, "extract", "the words of a text that answer a question", task_verbs.extract)
    extract.add_argument("--question", metavar="Q", help="the question")
    _verb(verbs, common, "entities", "the people, places and other names in a text", task_verbs.entities)
    fill = _verb(verbs, common, "fill-mask", "the likeliest words for each ___ in a text", task_verbs.fill_mask)
    fill.add_argument("--top-k", type=positive, default=5, metavar="N", help="words a gap (default: 5)")
    features = _verb(
        verbs, common, "features", "a vector for every token of a text, or their mean", task_verbs.features
    )
    features.add_argument("--tokens", action="store_true", help="every token's vector, not the mean")
    similarity = _verb(
        verbs, common, "similarity", "how alike two texts are in meaning, -1 to 1", task_verbs.similarity, model=False
    )
    similarity.add_argument("other", nargs="?", metavar="OTHER", help="the second text")
    rank = _verb(verbs, common, "rank", "texts by their relevance to a query", task_verbs.rank)
    rank.add_argument("texts", nargs="*", metavar="CANDIDATE", help="the texts to rank (TEXT is the query)")
    rank.add_argument("--top-k", type=positive, metavar="N", help="only the best N")
    table = _verb(verbs, common, "table-answer", "the cells of a table that answer a question", task_verbs.table_answer)
    table.add_argument("--table", type=Path, metavar="F.csv", help="the table, with a header (TEXT is the question)")
    _verb(verbs, common, "language", "the language a text is written in", task_verbs.language, model=False)


def _verb(
    verbs: argparse._SubParsersAction[Any],
    common: argparse.ArgumentParser,
    name: str,
    help: str,
    handler: Callable[[argparse.Namespace, Any], Any],
    *,
    model: bool = True,
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, parents=[common], help=help)
    verb.add_argument("text", nargs="?", metavar="TEXT", help="the text, or - to read it from standard input")
    add_batch_arguments(verb)
    if model:
        verb.add_argument("--model", metavar="NAME", help="a model on this machine: org/name[@revision] or a folder")
    verb.set_defaults(handler=handler, render=render, parser=verb)
    return verb
