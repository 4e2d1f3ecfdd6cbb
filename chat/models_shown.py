"""The models on the page: which version serves each role and why, every version that could, and the card of each."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from typing import Any

import chainlit as cl
from chainlit.context import context

from chat.backstage import Backstage
from chat.inert import code, inert, plain
from models.registry_view import Version
from models.serving import Serving

ACTION = "card"
_GONE = "This version is not in the registry any more."
_MOST_CARDS = 24
_HEAD = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


async def show_models(backstage: Backstage) -> None:
    """A table of the roles, and a button for the card of each version of the registry."""
    text, versions = await asyncio.to_thread(_found, backstage)
    buttons = [
        cl.Action(
            name=ACTION,
            label=f"Card of {version.label}",
            icon="file-text",
            tooltip=f"What {version.label} was made of, how good it is and what it is not for",
            payload={"version": version.label},
        )
        for version in versions[:_MOST_CARDS]
    ]
    await cl.Message(content=text, actions=buttons).send()


async def open_card(backstage: Backstage, payload: Mapping[str, Any]) -> None:
    """Show a version's card beside the chat."""
    label = str(payload.get("version"))
    known = await asyncio.to_thread(backstage.house.roles().registry.versions)
    version = next((one for one in known if one.label == label), None)
    if version is None:
        await context.emitter.send_toast(_GONE, "warning")
        return
    card = await asyncio.to_thread(_card, version)
    element = cl.Text(name="card", content=inert(card))
    await element.send(for_id="", persist=False)
    await context.emitter.emit("set_sidebar_title", f"Card of {version.label}")
    await context.emitter.emit("set_sidebar_elements", {"elements": [element.to_dict()], "key": uuid.uuid4().hex})


def _found(backstage: Backstage) -> tuple[str, list[Version]]:
    """The tables as Markdown, and the versions that have a card, those that serve first."""
    roles = backstage.house.roles()
    serving = roles.all()
    names = {one.model for one in serving}
    versions = sorted(roles.registry.versions(), key=lambda version: (version.label not in names, version.label))
    rows = [_row(one) for one in serving]
    text = "\n".join(["| Role | Served by | Why |", "|---|---|---|", *rows])
    others = [_line_of(version) for version in versions if version.label not in names]
    if others:
        text += "\n\nAlso in the registry: " + ", ".join(others) + "."
    return text, versions


def _line_of(version: Version) -> str:
    return f"{code(version.label)} for {plain(version.role)}"


def _row(one: Serving) -> str:
    mend = f"; {'larger' if one.model else 'get one'}: {code(one.mend)}" if one.mend else ""
    return f"| {plain(one.role)} | {code(one.model) or '–'} | {_line(one.reason)}{mend} |"


def _line(text: str) -> str:
    return " ".join(plain(text).split())


def _card(version: Version) -> str:
    """The card, with the facts in its head as one line."""
    try:
        text = version.card
    except OSError:
        return f"{version.label} came without a card."
    head = _HEAD.match(text)
    return f"{' · '.join(filter(None, head[1].splitlines()))}\n\n{text[head.end() :]}" if head else text
