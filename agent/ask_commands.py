"""The verbs `ask` and `answer`: one question to the assistant, or answers from the documents alone, also for a file.

Handlers import what they need when they run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from models.task_forms import Row, add_batch_arguments, run_verb

if TYPE_CHECKING:
    from agent.assembly import House
    from agent.assistant import Assistant
    from agent.events import Answer


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register `ask` and `answer`."""
    ask = verbs.add_parser("ask", parents=[common], help="one question to the assistant")
    ask.add_argument("question", metavar="QUESTION", help="the question, or - to read it from standard input")
    _add_common(ask)
    ask.add_argument("--thread", metavar="ID", help="continue the conversation of that name, or begin it")
    ask.add_argument("--tool", default="auto", metavar="auto|none|NAME", help="which tool to use (default: auto)")
    words = "router picks one tool, in a loop the model calls them itself; auto goes by the chat model"
    ask.add_argument("--strategy", dest="set_strategy", choices=["auto", "router", "loop"], help=words)
    words = "read every document in turn, or the passages that fit best; auto goes by the question"
    ask.add_argument("--over", choices=["auto", "best", "all"], default="auto", help=words)
    ask.add_argument("--trace", action="store_true", help="print every step and its milliseconds to standard error")
    ask.set_defaults(handler=_ask, render=_render_answer)
    answer = verbs.add_parser("answer", parents=[common], help="a checked answer from the documents, with its sources")
    answer.add_argument("text", nargs="?", metavar="QUESTION", help="the question, or - to read it from standard input")
    _add_common(answer)
    add_batch_arguments(answer)
    answer.set_defaults(handler=_answer, render=_render, parser=answer)


def _add_common(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--documents", nargs="+", metavar="PATH", help="answer from these alone; files are added first")
    verb.add_argument("--collection", dest="set_collection", metavar="NAME", help="the collection to add to and search")
    verb.add_argument("--model", dest="set_chat_model", metavar="NAME", help="another chat model for this question")


def _ask(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from agent.request import Request
    from agent.terminal import answer_on_terminal

    question = sys.stdin.read() if options.question == "-" else options.question
    documents, failed = _chosen(options, house)
    request = Request(question, options.thread, tool=options.tool, documents=documents, over=options.over)
    assistant = house.assistant()
    answer = answer_on_terminal(assistant, request, quiet=options.json, trace=options.trace)
    if isinstance(answer.data, dict) and "proposal" in answer.data and not options.json and sys.stdin.isatty():
        answer = _confirmed(assistant, answer)
    return {**answer.to_json(), **({"failed": failed} if failed else {})}


def _confirmed(assistant: Assistant, answer: Answer) -> Answer:
    """What came of a proposal once the person said yes; the proposal itself where they did not."""
    print(f"{answer.text}\nDo it? [y/N] ", end="", file=sys.stderr, flush=True)
    said = sys.stdin.readline().strip().lower()
    return assistant.confirm(answer.data["proposal"]) if said in ("y", "yes") else answer


def _answer(options: argparse.Namespace, house: House) -> Any:
    """One answer, or with `--input` rows whose `text` is the question, each with its answer added."""
    documents, failed = _chosen(options, house)

    def answered(question: str) -> Row:
        return house.assistant().ask(question, tool="answer", documents=documents).to_json()

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        return [answered(row["text"]) for row in rows]

    return {**run_verb(options, answered, many, rows_at_once=8), **({"failed": failed} if failed else {})}


def _chosen(options: argparse.Namespace, house: House) -> tuple[list[str] | None, list[dict[str, Any]]]:
    """The documents of `--documents`, None where it is not given, and what of it could not be added, which is said."""
    documents, failed = _documents_to_ask(options.documents, house) if options.documents else (None, [])
    for failure in failed:
        print(f"hearth: {failure['code']}: {failure['message']}", file=sys.stderr)
    return documents, failed


def _documents_to_ask(paths: Sequence[str], house: House) -> tuple[list[str], list[dict[str, Any]]]:
    """(ids and names of what was named, what could not be added): what lies on this disk is brought in first.

    Raises:
        AnswerFailed: nothing of it can be asked about.
    """
    from agent.terminal import AnswerFailed
    from retrieval.ingest_commands import ingest_with_progress

    files = [path for path in paths if os.path.lexists(path)]
    documents = [path for path in paths if path not in files]
    failed: list[dict[str, Any]] = []
    if files:
        report = ingest_with_progress(house.library().add, files, house.settings.collection)
        documents += report.document_ids.values()
        failed = [asdict(failure) for failure in report.failed]
    if not documents:
        first = failed[0] if failed else {"code": "not_found", "message": f"{paths[0]} holds no document; name a file."}
        raise AnswerFailed(first["code"], first["message"])
    return documents, failed


def _render(value: dict[str, Any]) -> str:
    """One answer, or the counts of the batch form."""
    from models.task_forms import render

    return _render_answer(value) if "answer" in value else render(value)


def _render_answer(value: dict[str, Any]) -> str:
    lines = [f"[{s['number']}] {_place(s)}: “{' '.join(s['quote'].split())}”" for s in value["sources"]]
    return "\n".join([value["answer"], *([""] if lines else []), *lines])


def _place(source: dict[str, Any]) -> str:
    page = f", page {source['page']}" if source["page"] else ""
    return f"{source['document']}{page}" + (f", {source['position']}" if source["position"] else "")
