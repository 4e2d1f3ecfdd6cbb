"""The verbs of language tasks that need documents or judge a file: `summarize` and `eval classify|translate|summarize`.

Handlers import what they need when they run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.task_forms import Row, add_batch_arguments, positive, render, run_verb

if TYPE_CHECKING:
    from agent.assembly import House
    from agent.documents import WholeText
    from agent.events import Progress


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register `summarize`."""
    verb = verbs.add_parser("summarize", parents=[common], help="a whole document of any length, shorter")
    verb.add_argument("text", nargs="?", metavar="PATH|-", help="a file, a document of the library, or - for text")
    verb.add_argument("--words", type=positive, default=60, metavar="N", help="about how many words (default: 60)")
    verb.add_argument("--model", metavar="NAME", help="a summariser or chat model on this machine")
    add_batch_arguments(verb)
    verb.set_defaults(handler=_summarize, render=_render_summary, parser=verb)


def add_eval_kinds(kinds: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register the kinds of `eval` that judge a language task."""
    classify = _kind(kinds, common, "classify", "labels: accuracy and macro-F1", "{text, label} lines", _eval_classify)
    classify.add_argument("--labels", metavar="A,B,...", help="choose among these instead of the file's own")
    lines = "{text, reference or references, from, to} lines"
    translate = _kind(kinds, common, "translate", "translations: BLEU and chrF", lines, _eval_translate)
    translate.add_argument("--to", metavar="LANG", help="the target language of rows without `to`")
    translate.add_argument("--from", dest="source", metavar="LANG", help="the source language of rows without `from`")
    translate.add_argument("--lowercase", action="store_true", help="compare without case; the signature says so")
    lines = "{text, reference or references} lines"
    summarize = _kind(kinds, common, "summarize", "summaries: ROUGE-1, -2 and -L", lines, _eval_summarize)
    summarize.add_argument("--words", type=positive, default=60, metavar="N", help="words a summary (default: 60)")


def _kind(
    kinds: argparse._SubParsersAction[Any],
    common: argparse.ArgumentParser,
    name: str,
    help: str,
    lines: str,
    handler: Any,
) -> argparse.ArgumentParser:
    kind: argparse.ArgumentParser = kinds.add_parser(name, parents=[common], help=help)
    kind.add_argument("--data", type=Path, required=True, metavar="F.jsonl", help=lines)
    kind.add_argument("--model", metavar="NAME", help="a model on this machine")
    kind.add_argument("--limit", type=positive, metavar="N", help="only the first N rows")
    kind.set_defaults(handler=handler, render=render)
    return kind


def _summarize(options: argparse.Namespace, house: House) -> Any:
    from agent.documents import WholeText
    from models.tasks import Tasks

    summarizer = Tasks.of(house).summarizer(options.model)

    def many(rows: Any) -> list[Row]:
        return [summarizer(row["text"], words=options.words).to_json() for row in rows]

    if options.text is None or options.text == "-" or options.input:
        return run_verb(
            options, lambda text: _summary_of(WholeText("the text", text), options, house), many, rows_at_once=8
        )
    whole = _whole(options.text, house)
    for warning in whole.warnings:
        print(f"hearth: {warning}", file=sys.stderr)
    return _summary_of(whole, options, house)


def _summary_of(whole: WholeText, options: argparse.Namespace, house: House) -> Row:
    """The document's summary, with a bar that names the page being read."""
    from tqdm import tqdm

    from agent.document_summary import summarise
    from models.tasks import Tasks

    tasks = Tasks.of(house)
    with tqdm(file=sys.stderr, disable=None, bar_format="{desc} |{bar}| {elapsed}") as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_description_str(progress.what, refresh=False)
            bar.update(progress.done - bar.n)

        found = summarise(
            whole,
            tasks.summarizer(options.model),
            words=options.words,
            floor=house.settings.support_floor,
            own_sentences=tasks.own_sentences,
            tell=show,
        )
    return found.to_json()


def _render_summary(value: Row) -> str:
    """The summary with its pages for one document, a report for a file of rows."""
    from agent.document_summary import in_words

    if "sentences" not in value:
        return render(value)
    notes = [f"Left out, as the document does not support it: {sentence}" for sentence in value["removed"]]
    return "\n\n".join([in_words(value), *notes, f"Made by {value['model']} ({value['method']})."])


def _whole(wanted: str, house: House) -> WholeText:
    from agent.documents import read_file, read_from_library
    from retrieval.errors import NotFound

    path = Path(wanted).expanduser()
    if not path.exists():
        try:
            return read_from_library(house.library(), wanted)
        except NotFound as error:
            raise NotFound(wanted, "is neither a file here nor a document in the library: check its name.") from error
    return read_file(path)


def _eval_classify(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from agent.evaluation_tasks import evaluate_classification

    labels = [label.strip() for label in options.labels.split(",")] if options.labels else None
    return evaluate_classification(house, options.data, model=options.model, labels=labels, limit=options.limit)


def _eval_translate(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from agent.evaluation_tasks import evaluate_translation

    return evaluate_translation(
        house,
        options.data,
        model=options.model,
        to=options.to,
        source=options.source,
        lowercase=options.lowercase,
        limit=options.limit,
    )


def _eval_summarize(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from agent.evaluation_tasks import evaluate_summaries

    return evaluate_summaries(house, options.data, model=options.model, words=options.words, limit=options.limit)
