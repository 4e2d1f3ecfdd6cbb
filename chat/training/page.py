"""Training on the page: the command `/train`, dropped tables, and what every button about training does."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import chainlit as cl
from chainlit.context import context
from chainlit.types import CommandDict

from chat.backstage import Backstage
from chat.identity import required
from chat.inert import code, plain
from chat.training import card, form, process, versions, words
from chat.training.errors import MayNotTrain, NoSuchRun
from models.registry_view import Version
from training.errors import DataError

_COMMAND: CommandDict = {
    "id": "train",
    "icon": "graduation-cap",
    "description": "Train a classifier on a table, or see the training that runs",
    "button": False,
    "persistent": False,
    "selected": False,
}
_COMPARED = "training_compared"
_INVITATION = (
    "Drop a table onto the chat, a CSV or JSONL file with a column of texts and a column of labels, and press *Train a "
    "classifier on this*. It is trained on this machine, beside the chat, and judged on rows that it has not seen."
)
_WRITE_A_TEXT = "Write a text: your next message goes to the old and the new model, and nowhere else."
# The roles whose model the running server keeps open.
_OPENED_ONCE = ("chat", "embed", "rerank", "vision", "speech")
_pressed: set[str] = set()


def may_train() -> bool:
    """Whether the person may train and choose what serves: the administrator, where there are several people."""
    return required().is_admin


def commands() -> list[CommandDict]:
    """What the page's menu offers the person about training."""
    return [_COMMAND] if may_train() else []


async def takes(stage: Backstage, message: cl.Message) -> bool:
    """Answers a message that is about training; False for every other one.

    Raises:
        ChatError, TrainingError, ModelError: why it cannot be done.
    """
    text = message.content.strip()
    if message.command != _COMMAND["id"] and text.partition(" ")[0].lower() != "/train":
        return await _compared(stage, message, text)
    _refuse_others()
    keys = await form.remember(message.elements or [])
    for key in keys:
        await form.choose_columns(stage.settings.home, {"table": key})
    if not keys:
        await _show_newest(stage.settings.home)
    return True


async def offer(files: Sequence[Any]) -> None:
    """Offers to train on dropped tables that can be trained on; says nothing about others."""
    for file in files if may_train() else ():
        with contextlib.suppress(DataError):
            for key in await form.remember([file]):
                await form.offer(key)


async def pressed(stage: Backstage, action: cl.Action) -> None:
    """Does what a button says, once; a button whose work is done goes.

    Raises:
        ChatError, TrainingError, ModelError: why it cannot be done.
    """
    _refuse_others()
    does = _DOES.get(str(action.payload.get("do")))
    if does is None or action.id in _pressed:
        return
    _pressed.add(action.id)
    try:
        await does(stage, action.payload)
    finally:
        _pressed.discard(action.id)
    if does not in (_compare, _report):
        await action.remove()


async def resume(stage: Backstage, thread: Mapping[str, Any]) -> None:
    """Brings the cards in a thread that was opened again up to date, the last one of each run."""
    steps = {run: step for step in thread["steps"] if (run := card.run_of(step))} if may_train() else {}
    for run, step in steps.items():
        with contextlib.suppress(NoSuchRun):
            await card.resume(stage.settings.home, process.find(stage.settings.home, run), step)


def _refuse_others() -> None:
    if not may_train():
        raise MayNotTrain


async def _show_newest(home: Path) -> None:
    """The training that runs, else the newest one, else how to begin one."""
    folder = await asyncio.to_thread(process.newest, home)
    if folder is None:
        await cl.Message(content=_INVITATION).send()
    else:
        await card.show(home, folder)


async def _compared(stage: Backstage, message: cl.Message, text: str) -> bool:
    """Gives a message to the old and the new model where it was announced; False where none was."""
    run = cl.user_session.get(_COMPARED)
    if run is None or not text or text.startswith("/") or message.command or message.elements:
        return False
    cl.user_session.set(_COMPARED, None)
    folder, version = _published(stage.settings.home, run)
    trials = await asyncio.to_thread(versions.try_both, stage.house, version, text)
    alone = "" if len(trials) > 1 else "\n\nNothing served this before, so there is no older model to hold it against."
    again = card.button("compare", "Another text", {"run": folder.name}, "columns-2")
    await cl.Message(content=words.side_by_side(text, trials) + alone, actions=[again]).send()
    return True


async def _columns(stage: Backstage, payload: Mapping[str, Any]) -> None:
    await form.choose_columns(stage.settings.home, payload)


async def _start(stage: Backstage, payload: Mapping[str, Any]) -> None:
    await form.begin(stage.settings.home, payload)


async def _stop(stage: Backstage, payload: Mapping[str, Any]) -> None:
    await asyncio.to_thread(process.stop, process.find(stage.settings.home, payload.get("run")))


async def _resume(stage: Backstage, payload: Mapping[str, Any]) -> None:
    home = stage.settings.home
    folder = process.find(home, payload.get("run"))
    await asyncio.to_thread(process.resume, home, folder)
    await card.show(home, folder)


async def _publish(stage: Backstage, payload: Mapping[str, Any]) -> None:
    home = stage.settings.home
    folder = process.find(home, payload.get("run"))
    found = await versions.publish(home, folder)
    await _tell(home, folder, f"{code(found['name'])} is in the registry; promoted, it serves {plain(found['role'])}.")


async def _promote(stage: Backstage, payload: Mapping[str, Any]) -> None:
    folder, version = _published(stage.settings.home, payload.get("run"))
    await _switched(stage.settings.home, folder, await versions.promote(stage.settings.home, version))


async def _roll_back(stage: Backstage, payload: Mapping[str, Any]) -> None:
    folder, version = _published(stage.settings.home, payload.get("run"))
    await _switched(stage.settings.home, folder, await versions.roll_back(stage.settings.home, version))


async def _switched(home: Path, folder: Path, found: Mapping[str, Any]) -> None:
    """Says what serves a role now, and from when on."""
    serving = found["serving"]
    before = f" Before: {code(found['before'])}." if found["before"] else ""
    now = f"{code(serving['model'])} serves" if serving["model"] else "Nothing serves"
    since = "start of Hearth" if found["role"] in _OPENED_ONCE else "question"
    await _tell(home, folder, f"{now} {plain(found['role'])} from the next {since} on.{before}")


async def _compare(stage: Backstage, payload: Mapping[str, Any]) -> None:
    folder, _ = _published(stage.settings.home, payload.get("run"))
    cl.user_session.set(_COMPARED, folder.name)
    await cl.Message(content=_WRITE_A_TEXT).send()


async def _report(stage: Backstage, payload: Mapping[str, Any]) -> None:
    """The report beside the chat: its words, every score, its pictures, and the whole of it as a file to save."""
    folder = process.find(stage.settings.home, payload.get("run"))
    found = process.read(folder / "report.json")
    told = f"{words.reported(found)}\n\n{words.scores(found)}"
    pictures = [cl.Image(name=path.stem, path=str(path)) for path in sorted((folder / "plots").glob("*.png"))]
    whole = cl.File(name=f"{folder.name}.html", path=str(folder / "report.html"))
    elements = [cl.Text(name="report", content=told), *pictures, whole]
    for element in elements:
        await element.send(for_id="", persist=False)
    # At once: a panel that is empty for a moment forgets its title.
    await context.emitter.emit("set_sidebar_title", f"Report of {folder.name}")
    shown = {"elements": [element.to_dict() for element in elements], "key": uuid.uuid4().hex}
    await context.emitter.emit("set_sidebar_elements", shown)


async def _tell(home: Path, folder: Path, sentence: str) -> None:
    """Says what was done, with what can be done next."""
    steps = await asyncio.to_thread(card.next_steps, home, folder)
    await cl.Message(content=sentence, actions=card.buttons(folder, *steps)).send()


def _published(home: Path, run: Any) -> tuple[Path, Version]:
    """A run with the entry that was made of it.

    Raises:
        NoSuchRun: there is none, or it was not published.
    """
    folder = process.find(home, run)
    version = versions.made_of(home, folder)
    if version is None:
        raise NoSuchRun(folder.name)
    return folder, version


_DOES: dict[str, Callable[[Backstage, Mapping[str, Any]], Awaitable[None]]] = {
    "columns": _columns,
    "start": _start,
    "stop": _stop,
    "resume": _resume,
    "publish": _publish,
    "promote": _promote,
    "rollback": _roll_back,
    "compare": _compare,
    "report": _report,
}
