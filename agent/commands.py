"""The assistant's verbs on the command line: ask, eval, doctor, settings and version.

Handlers import what they need when they run, so that `--help` stays instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import task_commands

if TYPE_CHECKING:
    from agent.assembly import House


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register the verbs; each sets `handler` and `render`."""
    _add_ask(verbs, common)
    _add_eval(verbs, common)
    doctor = verbs.add_parser("doctor", parents=[common], help="what this machine has, lacks and will use")
    doctor.add_argument("--offline", action="store_true", help="also answer a question while the network is cut")
    doctor.add_argument("--calibrate", action="store_true", help="measure the models' speed anew, about ten seconds")
    doctor.set_defaults(handler=_doctor, render=_render_doctor)
    settings = verbs.add_parser("settings", parents=[common], help="every setting with its value and where it is from")
    settings.set_defaults(handler=lambda options, house: house.settings.table(), render=_render_settings)
    version = verbs.add_parser("version", parents=[common], help="the version of Hearth")
    version.set_defaults(handler=_version, render=lambda value: f"hearth {value['version']}")


def _add_ask(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    ask = verbs.add_parser("ask", parents=[common], help="one question to the assistant")
    ask.add_argument("question", metavar="QUESTION", help="the question, or - to read it from standard input")
    ask.add_argument("--documents", nargs="+", metavar="PATH", help="answer from these alone; files are added first")
    ask.add_argument("--collection", dest="set_collection", metavar="NAME", help="the collection to add to and search")
    ask.add_argument("--thread", metavar="ID", help="continue the conversation of that name, or begin it")
    ask.add_argument("--tool", default="auto", metavar="auto|none|NAME", help="which tool to use (default: auto)")
    words = "read every document in turn, or the passages that fit best; auto goes by the question"
    ask.add_argument("--over", choices=["auto", "best", "all"], default="auto", help=words)
    ask.add_argument("--model", dest="set_chat_model", metavar="NAME", help="another chat model for this question")
    ask.add_argument("--trace", action="store_true", help="print every step and its milliseconds to standard error")
    ask.set_defaults(handler=_ask, render=_render_answer)


def _add_eval(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    evaluate = verbs.add_parser("eval", help="measure quality on a file of examples")
    kinds = evaluate.add_subparsers(dest="kind", metavar="KIND", required=True)
    answers = kinds.add_parser("answers", parents=[common], help="answers, citations and abstention")
    answers.add_argument("--documents", nargs="+", type=Path, default=[], metavar="PATH", help="what to search")
    answers.add_argument(
        "--questions", type=Path, required=True, metavar="F.jsonl", help="{id, question, answers} lines"
    )
    answers.add_argument("--limit", type=int, metavar="N", help="only the first N questions")
    answers.add_argument("--output", type=Path, metavar="G.jsonl", help="also write one judged row a question")
    answers.add_argument("--model", dest="set_chat_model", metavar="NAME", help="another chat model")
    answers.set_defaults(handler=_eval_answers, render=_render_scores)
    retrieval = kinds.add_parser("retrieval", parents=[common], help="the ranking of passages")
    retrieval.add_argument("--documents", type=Path, metavar="D", help="{doc_id, title, text} lines")
    retrieval.add_argument("--queries", type=Path, metavar="Q", help="{query_id, text} lines")
    retrieval.add_argument("--qrels", type=Path, metavar="R", help="{query_id, doc_id, relevance} lines")
    words = "instead of the three: {id, question, context} lines, each context one of the documents to rank"
    retrieval.add_argument("--questions", type=Path, metavar="F", help=words)
    words = "all compares the three modes, and the reranker where one serves"
    retrieval.add_argument("--mode", choices=["hybrid", "dense", "sparse", "all"], default="hybrid", help=words)
    retrieval.add_argument("--limit", type=int, metavar="N", help="only N of the queries, drawn, always the same ones")
    retrieval.set_defaults(handler=_eval_retrieval, render=_render_rankings)
    task_commands.add_eval_kinds(kinds, common)


def _ask(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from agent.request import Request
    from agent.terminal import answer_on_terminal

    question = sys.stdin.read() if options.question == "-" else options.question
    documents, failed = _documents_to_ask(options.documents, house) if options.documents else (None, [])
    for failure in failed:
        print(f"hearth: {failure['code']}: {failure['message']}", file=sys.stderr)
    request = Request(question, options.thread, tool=options.tool, documents=documents, over=options.over)
    answer = answer_on_terminal(house.assistant(), request, quiet=options.json, trace=options.trace)
    return {**answer.to_json(), **({"failed": failed} if failed else {})}


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


def _render_answer(value: dict[str, Any]) -> str:
    lines = [f"[{s['number']}] {_place(s)}: “{' '.join(s['quote'].split())}”" for s in value["sources"]]
    return "\n".join([value["answer"], *([""] if lines else []), *lines])


def _place(source: dict[str, Any]) -> str:
    page = f", page {source['page']}" if source["page"] else ""
    return f"{source['document']}{page}" + (f", {source['position']}" if source["position"] else "")


def _eval_answers(options: argparse.Namespace, house: House) -> dict[str, Any]:
    import json

    from tqdm import tqdm

    from agent.evaluation import evaluate_answers, read_questions

    questions = read_questions(options.questions, options.limit)
    with tqdm(total=len(questions), unit="question", file=sys.stderr, disable=None) as bar:
        scores, judged = evaluate_answers(house, questions, options.documents, on_judged=lambda *_: bar.update())
    if options.output:
        rows = (json.dumps(row.to_json(), ensure_ascii=False) for row in judged)
        options.output.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return scores


def _eval_retrieval(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from tqdm import tqdm

    from agent.errors import BadInput
    from agent.retrieval_evaluation import compared, evaluate_ranking, from_files, from_questions

    files = [path for path in (options.documents, options.queries, options.qrels) if path is not None]
    if len(files) != (0 if options.questions else 3):
        raise BadInput("Give --documents, --queries and --qrels together, or --questions alone.")
    library, judgements = from_questions(house, options.questions) if options.questions else from_files(house, *files)
    judgements = judgements.drawn(options.limit)
    try:
        with tqdm(unit="query", file=sys.stderr, disable=None) as bar:
            if options.mode == "all":
                return compared(library, judgements, bar.update)
            return evaluate_ranking(library, judgements, options.mode, on_ranked=bar.update)
    finally:
        library.close()


def _render_scores(value: dict[str, Any]) -> str:
    return "\n".join(f"{name:20} {'-' if score is None else score}" for name, score in value.items())


def _render_rankings(value: dict[str, Any]) -> str:
    """One row a mode where modes were compared."""
    if not isinstance(value.get("hybrid"), dict):
        return _render_scores(value)
    columns = list(value["hybrid"])
    lines = ["mode      " + "".join(f"{column:>13}" for column in columns)]
    for mode, scores in value.items():
        lines.append(f"{mode:10}" + "".join(f"{round(scores[column], 4):>13}" for column in columns))
    return "\n".join(lines)


def _doctor(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    from agent.doctor import examine

    return [check.to_json() for check in examine(house, offline=options.offline, calibrate=options.calibrate)]


def _render_doctor(value: list[dict[str, Any]]) -> str:
    lines = []
    for check in value:
        lines.append(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']:18} {check['found']}")
        if check["mend"]:
            lines.append(f"      {'':18} -> {check['mend']}")
    return "\n".join(lines)


def _render_settings(value: list[dict[str, Any]]) -> str:
    width = max(len(row["name"]) for row in value)
    return "\n".join(f"{row['name']:{width}}  {row['value']!s:32}  {row['origin']:12}  {row['help']}" for row in value)


def _version(options: argparse.Namespace, house: House) -> dict[str, str]:
    import platform
    from importlib.metadata import version

    return {"version": version("hearth"), "python": platform.python_version()}
