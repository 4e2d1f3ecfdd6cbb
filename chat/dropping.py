"""Files dropped into the chat, shown as one message that tells of each file in turn and offers to keep it.

The work itself is in `chat/uploads.py` and runs in a thread, one file after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chainlit as cl

from chat.backstage import Backstage
from chat.inert import code, plain
from chat.uploads import NAMED_ERRORS, Outcome, add_file, display_name

ACTION = "keep"
_SESSION_KEY = "dropped"


async def add_dropped(stage: Backstage, files: Sequence[Any], thread_id: str) -> list[Outcome]:
    """Read dropped files into the thread, with a line for each on the page.

    Args:
        stage: the process's parts.
        files: Chainlit's elements of the message; each has a `name` and a `path`.
        thread_id: the thread they will belong to.
    """
    notice = Notice([display_name(file.name) for file in files])
    await notice.message.send()
    assistant = await stage.assistant()
    try:
        for file in files:
            await notice.begin()
            outcome = await asyncio.to_thread(add_file, assistant, Path(file.path), file.name, stage.uploads, thread_id)
            await notice.finish(outcome)
    except asyncio.CancelledError:
        await asyncio.shield(notice.stop())
        raise
    await notice.offer_to_keep()
    return notice.outcomes


class Notice:
    """The message about dropped files: waiting, being read, in, or not in and why."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._kept: set[str] = set()
        self._reading = False
        self._stopped = False
        self.outcomes: list[Outcome] = []
        self.message = cl.Message(content=self._text())

    async def begin(self) -> None:
        """The next file is being read."""
        self._reading = True
        await self._show()

    async def finish(self, outcome: Outcome) -> None:
        """The file is done, well or not."""
        self._reading = False
        self.outcomes.append(outcome)
        await self._show()

    async def stop(self) -> None:
        """A person ended it; the file being read is finished in the background, the rest is left out."""
        self._stopped = True
        await self._show()

    async def offer_to_keep(self) -> None:
        """A button for each file that got in."""
        dropped = cl.user_session.get(_SESSION_KEY) or {}
        self.message.actions = []
        for outcome in self.outcomes:
            if outcome.document_id is not None:
                dropped[outcome.document_id] = self
                label = "Keep in library" if len(self.outcomes) == 1 else f"Keep {outcome.name} in library"
                self.message.actions.append(
                    cl.Action(
                        name=ACTION,
                        label=label,
                        tooltip="Other chats can use it too, and it stays after this one",
                        payload={"document": outcome.document_id},
                    )
                )
        cl.user_session.set(_SESSION_KEY, dropped)
        await self.message.send()

    async def keep(self, document_id: str) -> None:
        """Say that a document is in the library now."""
        self._kept.add(document_id)
        await self._show()

    async def _show(self) -> None:
        self.message.content = self._text()
        await self.message.update()

    def _text(self) -> str:
        lines = [self._line(outcome) for outcome in self.outcomes]
        waiting = self._names[len(lines) :]
        for index, name in enumerate(waiting):
            state = "left out" if self._stopped and not (self._reading and index == 0) else "waiting"
            lines.append(f"· {code(name)} {'is being read …' if self._reading and index == 0 else state}")
        return "\n".join(lines)

    def _line(self, outcome: Outcome) -> str:
        name = code(outcome.name)
        if outcome.document_id is None:
            # The library's sentences begin with the name; here it stands in front already.
            reason = outcome.sentence.removeprefix(outcome.name)
            joint = "" if reason != outcome.sentence else " was not added: "
            return f"✗ {name}{joint}{plain(reason) if joint else ' ' + plain(reason)}"
        where = "kept in the library" if outcome.document_id in self._kept else "in this chat"
        return f"✓ {name} {where}: {plain(outcome.sentence)}"


async def keep_document(stage: Backstage, payload: dict[str, Any]) -> str | None:
    """Move a dropped document into the library.

    Returns:
        None when it is done, or the sentence that says why not.
    """
    document_id = str(payload.get("document"))
    notice: Notice | None = (cl.user_session.get(_SESSION_KEY) or {}).get(document_id)
    if notice is None:
        return "This document was not dropped into this chat."
    assistant = await stage.assistant()
    try:
        await asyncio.to_thread(assistant.keep_document, document_id)
    except NAMED_ERRORS as error:
        return str(error)
    await notice.keep(document_id)
    return None
