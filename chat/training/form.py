"""From a dropped table to a checked recipe: which columns, what `hearth train check` finds, and the button that begins.

Tables are known by an id of this session, so that a button can name none but those that were dropped here.
"""

from __future__ import annotations

import asyncio
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import chainlit as cl

from chat.inert import code, plain
from chat.training import card, process, recipe, words
from chat.training.card import button
from chat.training.errors import CommandFailed, NotThisChats
from chat.training.table import Table, is_table, look
from chat.uploads import display_name

_SESSION_KEY = "training_tables"
# What a person may decide to go on with, once they have read how many rows it is about.
_BEARABLE = ("leak", "contradiction")


async def remember(files: Sequence[Any]) -> list[str]:
    """Reads the tables among dropped files and gives their ids.

    Raises:
        DataError: one of them cannot be read.
    """
    tables = cl.user_session.get(_SESSION_KEY) or {}
    new = {}
    for file in files:
        if is_table(file.name):
            new[uuid.uuid4().hex] = await asyncio.to_thread(look, Path(file.path), display_name(file.name))
    cl.user_session.set(_SESSION_KEY, {**tables, **new})
    return list(new)


def table_of(key: Any) -> Table:
    """A table of this session.

    Raises:
        NotThisChats: it was dropped elsewhere, or is gone with its session.
    """
    table: Table | None = (cl.user_session.get(_SESSION_KEY) or {}).get(key)
    if table is None or not table.path.exists():
        raise NotThisChats
    return table


async def offer(key: str) -> None:
    """Says that a table could be trained on, with the button that begins; nothing about one without labels."""
    table = table_of(key)
    if not table.holds_labels() and not table.pair():
        return
    kind = "a classifier" if table.holds_labels() else "the chat model"
    told = (
        f"{code(table.name)} is a table of {table.rows:,} rows: {', '.join(code(one.name) for one in table.columns)}."
    )
    await cl.Message(content=told, actions=[button("columns", f"Train {kind} on this", {"table": key})]).send()


async def choose_columns(home: Path, payload: Mapping[str, Any]) -> None:
    """Asks for the columns that cannot be told, one after the other; then looks at the rows."""
    table = table_of(payload.get("table"))
    pair = table.pair()
    if pair and not table.holds_labels():
        await _check(home, payload, recipe.conversation(table, *pair, anyway=bool(payload.get("anyway"))))
        return
    chosen: dict[str, str] = {}
    for what, likely in (("text", table.texts()), ("label", table.labels())):
        every = [one.name for one in table.columns if one.name not in chosen.values()]
        likely = [name for name in likely if name in every] or every
        given = payload.get(what)
        if given not in every and len(likely) != 1:
            asked = f"Which column of {code(table.name)} holds the {what}?"
            actions = [button("columns", name, {**payload, what: name}) for name in likely]
            await cl.Message(content=asked, actions=actions).send()
            return
        chosen[what] = given if given in every else likely[0]
    made = recipe.classifier(table, chosen["text"], chosen["label"], anyway=bool(payload.get("anyway")))
    await _check(home, {**payload, **chosen}, made)


async def begin(home: Path, payload: Mapping[str, Any]) -> None:
    """Begins to train a checked recipe and shows it.

    Raises:
        TrainingRuns: another training runs.
    """
    file = next((path for path in recipe.kept(home) if path.parent.name == payload.get("recipe")), None)
    if file is None:
        raise NotThisChats
    name = tomllib.loads(file.read_text(encoding="utf-8"))["name"]
    await card.show(home, await asyncio.to_thread(process.start, home, file, name))


async def _check(home: Path, payload: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Writes the recipe and says what it would do, with the button that begins."""
    table = table_of(payload.get("table"))
    file = await asyncio.to_thread(recipe.keep, made, table, home)
    columns = " and ".join(code(name) for name in made["data"]["columns"].values() or ("text", "label"))
    head = f"**Training on {code(table.name)}**, columns {columns}"
    message = cl.Message(content=f"{head}\n\nLooking at the rows, and timing a few steps …")
    await message.send()
    try:
        found = await process.ask(home, "train", "check", str(file))
    except CommandFailed as error:
        message.content = f"{head}\n\n{plain(str(error))} ({code(error.code)})"
        again = button("columns", "Go on all the same", {**payload, "anyway": True})
        message.actions = [again] if error.code in _BEARABLE else []
    except asyncio.CancelledError:
        message.content = f"{head}\n\n*Stopped.*"
        await asyncio.shield(message.update())
        raise
    else:
        message.content = f"{head}\n\n{words.checked(found)}"
        message.actions = [button("start", "Start", {"recipe": file.parent.name}, "play")]
    await message.update()
