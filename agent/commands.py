"""The assistant's verbs on the command line: ask and answer, eval, doctor, settings and version.

Handlers import what they need when they run, so that `--help` stays instant.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import ask_commands, task_commands

if TYPE_CHECKING:
    from agent.assembly import House


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register the verbs; each sets `handler` and `render`."""
    ask_commands.add_verbs(verbs, common)
    _add_eval(verbs, common)
    doctor = verbs.add_parser("doctor", parents=[common], help="what this machine has, lacks and will use")
    doctor.add_argument("--offline", action="store_true", help="also answer a question while the network is cut")
    doctor.add_argument("--calibrate", action="store_true", help="measure the models' speed anew, about ten seconds")
    doctor.set_defaults(handler=_doctor, render=_render_doctor)
    settings = verbs.add_parser("settings", parents=[common], help="every setting with its value and where it is from")
    settings.set_defaults(handler=lambda options, house: house.settings.table(), render=_render_settings)
    version = verbs.add_parser("version", parents=[common], help="the version of Hearth")
    version.set_defaults(handler=_version, render=lambda value: f"hearth {value['version']}")


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
    tools = kinds.add_parser("tools", parents=[common], help="the choice of a tool and of its arguments")
    tools.add_argument("--messages", type=Path, required=True, metavar="F.jsonl", help="{id, message, tool} lines")
    tools.add_argument("--limit", type=int, metavar="N", help="only the first N messages")
    tools.add_argument("--output", type=Path, metavar="G.jsonl", help="also write one judged row a message")
    tools.add_argument("--model", dest="set_chat_model", metavar="NAME", help="another chat model")
    tools.set_defaults(handler=_eval_tools, render=_render_scores)
    canary = kinds.add_parser("canary", parents=[common], help="what a tuned chat model must not forget")
    words = "{id, kind, prompt, check} lines instead of Hearth's own 200"
    canary.add_argument("--prompts", type=Path, metavar="F.jsonl", help=words)
    canary.add_argument("--limit", type=int, metavar="N", help="only the first N prompts")
    canary.add_argument("--output", type=Path, metavar="G.jsonl", help="also write one judged row a prompt")
    canary.add_argument("--model", dest="set_chat_model", metavar="NAME", help="another chat model")
    canary.set_defaults(handler=_eval_canary, render=_render_scores)
    task_commands.add_eval_kinds(kinds, common)


def _eval_answers(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from tqdm import tqdm

    from agent.evaluation import evaluate_answers, read_questions

    questions = read_questions(options.questions, options.limit)
    with tqdm(total=len(questions), unit="question", file=sys.stderr, disable=None) as bar:
        scores, judged = evaluate_answers(house, questions, options.documents, on_judged=lambda *_: bar.update())
    _keep_rows(options.output, judged)
    return scores


def _eval_tools(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from tqdm import tqdm

    from agent.tool_evaluation import evaluate_tools, read_messages

    messages = read_messages(options.messages, options.limit)
    with tqdm(total=len(messages), unit="message", file=sys.stderr, disable=None) as bar:
        scores, judged = evaluate_tools(house, messages, bar.update)
    _keep_rows(options.output, judged)
    return scores


def _eval_canary(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from tqdm import tqdm

    from agent.canary import PROMPTS, evaluate_canary, read_prompts

    prompts = read_prompts(options.prompts or PROMPTS, options.limit)
    with tqdm(total=len(prompts), unit="prompt", file=sys.stderr, disable=None) as bar:
        scores, rows = evaluate_canary(house, prompts, bar.update)
    _keep_rows(options.output, rows)
    return scores


def _keep_rows(file: Path | None, rows: Sequence[Any]) -> None:
    """Writes a judged row a line, where a file is named for them."""
    if file:
        lines = (json.dumps(row.to_json(), ensure_ascii=False, default=str) for row in rows)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


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
