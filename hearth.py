"""The command line: collects the verbs of every room and turns errors into one sentence and an exit status.

Nothing heavy is imported here; a verb's handler loads what it needs when it runs.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import agent.commands
import agent.task_commands
import chat.commands
import models.commands
import models.pipelines.commands
import models.task_commands
import retrieval.commands
import training.commands
from agent.errors import AgentError
from chat.errors import ChatError
from models.errors import ModelError
from models.profiles import AUTO, PROFILE_NAMES
from retrieval.errors import RetrievalError
from training.errors import TrainingError

ROOMS = (
    chat.commands,
    agent.commands,
    agent.task_commands,
    retrieval.commands,
    models.commands,
    models.task_commands,
    models.pipelines.commands,
    training.commands,
)
NAMED_ERRORS = (AgentError, ChatError, ModelError, RetrievalError, TrainingError)
# Loading libraries makes objects by the million and little garbage; to look through them as often as Python does by
# itself took a tenth of the imports' time (4.6 to 4.1 s for those of a question).
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence with the nearest known word."""

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and end with exit status 2."""
        print(f"hearth: usage: {message}; see `{self.prog} --help`.", file=sys.stderr)
        raise SystemExit(2)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        nearest = difflib.get_close_matches(str(value), [str(choice) for choice in action.choices], n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(map(str, action.choices))}"
        raise argparse.ArgumentError(action, f"{value!r} is not known, {hint}")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; every room adds its own verbs."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON value on standard output")
    common.add_argument("--home", metavar="DIR", help="the data folder (else HEARTH_HOME, else the platform's)")
    common.add_argument(
        "--profile",
        dest="set_profile",
        choices=(AUTO, *PROFILE_NAMES),
        help="the set of models: auto takes the largest that this machine carries",
    )
    parser = Parser(prog="hearth", description="A private assistant that runs on your own machine.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for room in ROOMS:
        room.add_verbs(verbs, common)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0 done; 1 something failed and was named; 2 wrong usage (raised as SystemExit by argparse); 130 interrupted.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    options = build_parser().parse_args(arguments)
    try:
        return _run(options)
    except NAMED_ERRORS as error:
        return _fail(options, error.code, str(error))
    except KeyboardInterrupt:
        return _fail(
            options, "interrupted", "Interrupted; what was finished is kept, and the same command carries on.", 130
        )
    except BrokenPipeError:
        # The reader of our output went away (`hearth ... | head`): not an error worth a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(options, *_describe(error))
    except Exception as error:
        sentence = f"An unexpected {type(error).__name__} stopped the command: {_one_line(error)}"
        return _fail(options, "internal_error", f"{sentence}; {_keep_traceback(options)}")


def _run(options: argparse.Namespace) -> int:
    from agent.assembly import House
    from agent.settings import load_settings

    flags = {name.removeprefix("set_"): value for name, value in vars(options).items() if name.startswith("set_")}
    with House(load_settings({**flags, "home": options.home})) as house:
        value = options.handler(options, house)
    if options.json:
        print(json.dumps(value, ensure_ascii=False, default=str))
    else:
        render: Callable[[Any], str] = options.render
        if text := render(value):
            print(text)
    failed = isinstance(value, dict) and (value.get("failed") or value.get("problems"))
    return 1 if failed else 0


def _describe(error: OSError) -> tuple[str, str]:
    import errno

    where = f" at {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full", f"The disk is full{where}: free some space and run the command again, nothing was lost."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "permission", f"The system refused access{where} ({error.strerror}): check who owns it, or use --home."
    return "system_error", f"The system reported {error.strerror or _one_line(error)}{where}."


def _keep_traceback(options: argparse.Namespace) -> str:
    """Put the traceback into the data home's log, for a report; returns where it is."""
    from models.home import data_home

    log = data_home(options.home) / "logs" / "errors.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat()} {' '.join(sys.argv[1:2])}\n{traceback.format_exc()}\n")
    except OSError:
        return "the details could not be written into the data folder."
    return f"the details are in {log}."


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or "no message"


def _fail(options: argparse.Namespace, code: str, message: str, status: int = 1) -> int:
    if options.json:
        print(json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False))
    print(f"hearth: {code}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
