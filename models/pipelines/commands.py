"""`hearth task`: any task of the table on local files, one at a time or a file of rows, and the table itself.

Nothing heavy is imported before a verb runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.task_forms import Row, add_batch_arguments, render


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers `task`."""
    verb = verbs.add_parser("task", parents=[common], help="pictures, sound, video: any other task of a model")
    verb.add_argument("name", metavar="NAME", help="a task or its tool, such as image-classification; or: list")
    verb.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="files on this machine and texts, as the task has them"
    )
    verb.add_argument("--model", metavar="MODEL", help="a model on this machine: org/name[@revision] or a folder")
    verb.add_argument("--option", action="append", default=[], metavar="K=V", help="an option of the task; repeatable")
    verb.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="where made files go (default: here)")
    add_batch_arguments(verb)
    verb.set_defaults(handler=_task, render=_render, parser=verb)


def _task(options: argparse.Namespace, house: Any) -> Any:
    if options.name == "list":
        return task_list(_models(house))
    if bool(options.input) != bool(options.output):
        options.parser.error("--input and --output belong together")
    if options.input and options.inputs:
        options.parser.error("give INPUTs or --input, not both")
    from models.pipelines.task import PipelineTask, row_of

    row = row_of(options.name)
    task = PipelineTask.open(row.task, _model_for(row, options, house), house.home)
    chosen = _options(options)
    if options.input:
        return _batch(task, chosen, options)
    inputs = [sys.stdin.read() if one == "-" else one for one in options.inputs]
    return task(*inputs, folder=options.folder, **chosen)


def _model_for(row: Any, options: argparse.Namespace, house: Any) -> str:
    """The model that the call names, else the settings'; a decision can be made by the chat model."""
    from models.pipelines.errors import NoPipelineModel
    from models.serving import Roles

    name = options.model or _models(house).get(row.task)
    if not name and row.task == "decision":
        name = Roles.of(house).serving("chat").name
    if not name:
        raise NoPipelineModel(row.task, row.examples)
    return str(name)


def _models(house: Any) -> dict[str, str]:
    from models.serving import Roles

    return Roles.of(house).task_models(house.settings.tasks)


def _options(options: argparse.Namespace) -> dict[str, Any]:
    pairs = [pair.partition("=") for pair in options.option]
    for name, equals, _ in pairs:
        if not (name and equals):
            options.parser.error(f"--option {name} has no value: write --option name=value")
    return {name: value for name, _, value in pairs}


def _batch(task: Any, chosen: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Rows with the task's inputs by name, and options of their own where they have them; each gets a `result`."""
    from models.tasks.batch import run_batch

    known = task.row.options.model_fields

    def many(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        for row in rows:
            inputs = [row.get(one.name, one.default or "") for one in task.row.inputs]
            own = {name: row[name] for name in known if name in row}
            found.append({"result": task(*inputs, folder=options.folder, **(chosen | own))})
        return found

    required = [one.name for one in task.row.inputs if one.default is None]
    return run_batch(options.input, options.output, many, required=required, rows_at_once=1)


def task_list(configured: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every task that transformers or the hub knows, with its state, and what serves it or why nothing does."""
    from pydantic import TypeAdapter

    from models.pipelines.elsewhere import ALIASES, HUB, OWN, REMOVED, Served
    from models.pipelines.table import PIPELINE_TASKS

    rows: list[dict[str, Any]] = []
    for row in PIPELINE_TASKS.values():
        model = configured.get(row.task)
        rows.append(
            {
                "task": row.task,
                "state": "configured" if model else "needs a model",
                "tool": row.tool,
                "model": model,
                "examples": list(row.examples),
                "inputs": [{"name": one.name, "kind": one.kind, "help": one.help} for one in row.inputs],
                "options": row.options.model_json_schema().get("properties", {}),
                "output": TypeAdapter(row.output).json_schema(),
            }
        )
    for task, other in {**OWN, **REMOVED, **HUB}.items():
        if isinstance(other, Served):
            facts = {"state": "own verb", "verb": other.verb, "served_by": other.by, "setting": other.setting}
        else:
            facts = {"state": "not offered", "reason": other}
        rows.append({"task": task, **facts})
    return rows + [{"task": alias, "state": "other name", "same_as": task} for alias, task in ALIASES.items()]


def _render(value: Any) -> str:
    if not (isinstance(value, list) and value and "state" in value[0]):
        return render(value) or "Nothing was found."
    groups: dict[str, list[str]] = {}
    for row in value:
        needs = " ".join(one["name"].upper() for one in row.get("inputs", []))
        by_state = {
            "configured": f"{row.get('tool', ''):16} {needs:14} {row.get('model')}",
            "needs a model": f"{row.get('tool', ''):16} {needs:14} e.g. {row.get('examples', [''])[0]}",
            "own verb": row.get("verb", ""),
            "not offered": row.get("reason", ""),
            "other name": row.get("same_as", ""),
        }
        groups.setdefault(row["state"], []).append(f"  {row['task']:32} {by_state[row['state']]}".rstrip())
    return "\n\n".join("\n".join([f"{state}:", *lines]) for state, lines in groups.items())
