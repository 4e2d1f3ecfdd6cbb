"""A run on the page: one message that moves while it trains, with its curve, and then says how it ended.

What is sent on the way is not kept with the thread; the end is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chainlit as cl
from chainlit.context import context
from chainlit.session import WebsocketSession

from chat.log import report_unexpected
from chat.training import versions, words
from chat.training.process import can_resume, read, standing
from chat.training.progress import Metrics

if TYPE_CHECKING:
    from chainlit.step import StepDict

ACTION = "train"
_METADATA = "run"
_FOLLOWER = "training_follower"
_SECONDS_BETWEEN_LINES = 1.0
_SECONDS_BETWEEN_CURVES = 8.0

_LABELS = {
    "stop": ("Stop", "square"),
    "resume": ("Go on", "play"),
    "publish": ("Publish", "package"),
    "promote": ("Promote", "arrow-up"),
    "rollback": ("Roll back", "undo-2"),
    "compare": ("Old against new", "columns-2"),
    "report": ("Show report", "file-text"),
}


def button(does: str, label: str, payload: Mapping[str, Any], icon: str | None = None) -> cl.Action:
    """A button about training; all of them are one action, told apart by what they carry."""
    return cl.Action(name=ACTION, label=label, icon=icon, payload={**payload, "do": does})


def buttons(folder: Path, *does: str) -> list[cl.Action]:
    """Buttons for a run."""
    return [button(one, _LABELS[one][0], {"run": folder.name}, _LABELS[one][1]) for one in does]


def next_steps(home: Path, folder: Path) -> list[str]:
    """What can be done with a run as it stands now."""
    state = standing(folder).state
    if state == "running":
        return ["stop"]
    if state != "finished":
        return ["resume"] if can_resume(folder) else []
    version = versions.made_of(home, folder)
    if version is None:
        return [*(["publish"] if read(folder / "report.json")["gate"]["open"] else []), "report"]
    return ["rollback" if versions.serves(home, version) else "promote", "compare", "report"]


async def show(home: Path, folder: Path) -> None:
    """Shows a run, and follows it while it trains; a session follows one run."""
    card = Card(home, folder)
    await card.begin()
    _follow(card)


async def resume(home: Path, folder: Path, step: StepDict) -> None:
    """Brings a card of a thread that was opened again up to date: it goes on, or ends and has its buttons."""
    card = Card(home, folder, cl.Message.from_dict(step))
    if standing(folder).state == "running":
        _follow(card)
    else:
        step["output"] = await card.end()


def run_of(step: Mapping[str, Any]) -> str | None:
    """The run that a kept step is the card of; None for any other step."""
    name = (step.get("metadata") or {}).get(_METADATA)
    return str(name) if name else None


def _follow(card: Card) -> None:
    """Follows a run in the place of the one before."""
    before = cl.user_session.get(_FOLLOWER)
    if before is not None:
        before.cancel()
    cl.user_session.set(_FOLLOWER, asyncio.create_task(card.follow()))


class Card:
    """The message about one run."""

    def __init__(self, home: Path, folder: Path, message: cl.Message | None = None) -> None:
        self._home, self._folder = home, folder
        self._metrics = Metrics(folder)
        self._message = message or cl.Message(content="", metadata={_METADATA: folder.name})
        self._curve_key: str | None = None
        self._curve_id = str(uuid.uuid4())

    async def begin(self) -> None:
        """Sends the message as the run stands."""
        await asyncio.to_thread(self._metrics.read)
        self._message.content = words.so_far(self._folder.name, self._metrics)
        self._message.actions = buttons(self._folder, "stop") if self._running() else []
        await self._message.send()

    async def follow(self) -> None:
        """Moves the message until the run ends or the page is gone for good."""
        try:
            await self._follow()
        except Exception:  # a task of its own: nobody else would hear of it
            error_id = report_unexpected("following a training")
            self._message.content += f"\n\nThe page lost sight of it; the log has the details under `{error_id}`."
            await self._message.update()

    async def _follow(self) -> None:
        drawn_at = time.monotonic() - _SECONDS_BETWEEN_CURVES + _SECONDS_BETWEEN_LINES
        while await asyncio.to_thread(self._running):
            if WebsocketSession.get_by_id(context.session.id) is None:
                return
            await asyncio.to_thread(self._metrics.read)
            await self._move(words.so_far(self._folder.name, self._metrics))
            if time.monotonic() - drawn_at >= _SECONDS_BETWEEN_CURVES:
                await self._draw()
                drawn_at = time.monotonic()
            await asyncio.sleep(_SECONDS_BETWEEN_LINES)
        await asyncio.to_thread(self._metrics.read)
        await self._draw(keep=True)
        await self.end()

    def _running(self) -> bool:
        return standing(self._folder).state == "running"

    async def _move(self, content: str) -> None:
        """Shows another text in place of the last one, without keeping it."""
        if content != self._message.content:
            self._message.content = content
            await context.emitter.update_step(self._message.to_dict())

    async def _draw(self, *, keep: bool = False) -> None:
        """Puts the curve so far under the message, in place of the one before; the last one is kept with the thread."""
        drawn = await asyncio.to_thread(self._metrics.draw)
        if not drawn:
            return
        curve = cl.Image(name="curve", path=str(drawn[0]), size="large", id=self._curve_id)
        await curve.send(for_id=self._message.id, persist=keep)
        before, self._curve_key = self._curve_key, curve.chainlit_key
        if before is not None and (file := context.session.files.pop(before, None)):
            with contextlib.suppress(OSError):
                Path(file["path"]).unlink()

    async def end(self) -> str:
        """Says how the run ended, with what can be done now; gives the text."""
        report = read(self._folder / "report.json")
        for action in self._message.actions:
            await action.remove()
        self._message.content = words.ended(self._folder.name, standing(self._folder), report)
        self._message.actions = buttons(self._folder, *await asyncio.to_thread(next_steps, self._home, self._folder))
        await self._message.update()
        return self._message.content
