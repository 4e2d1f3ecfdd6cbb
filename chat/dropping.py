"""Files dropped into the chat, shown as one message that tells of each file in turn and offers to keep it.

The work itself is in `chat/uploads.py` and runs in a thread, one file after the other.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chainlit as cl

from chat.backstage import Backstage
from chat.inert import code, plain
from chat.uploads import NAMED_ERRORS, Outcome, add_file, display_name
from retrieval.owners import thread_collection
from retrieval.records import IngestProgress

if TYPE_CHECKING:
    from chainlit.step import StepDict

ACTION = "keep"
_METADATA = _SESSION_KEY = "dropped"
_SECONDS_BETWEEN_PERCENTS = 0.3


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
            given = (assistant, Path(file.path), file.name, stage.uploads, thread_id)
            outcome = await asyncio.to_thread(add_file, *given, notice.listener())
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
        self._percent = 0
        self._shown_at = 0.0
        self._stopped = False
        # Held, as the event loop alone would let them go.
        self._showing: set[asyncio.Task[None]] = set()
        self.outcomes: list[Outcome] = []
        self.message = cl.Message(content=self._text())

    async def begin(self) -> None:
        """The next file is being read."""
        self._reading, self._percent = True, 0
        await self._show()

    def listener(self) -> Callable[[IngestProgress], None]:
        """What the reading thread tells how far it is, for the file being read."""
        loop, here = asyncio.get_running_loop(), contextvars.copy_context()

        def tell(progress: IngestProgress) -> None:
            percent = int(100 * (progress.done + progress.begun) / max(1, progress.total))
            loop.call_soon_threadsafe(self._advance, percent, context=here)

        return tell

    def _advance(self, percent: int) -> None:
        now = time.monotonic()
        if self._reading and percent > self._percent and now - self._shown_at >= _SECONDS_BETWEEN_PERCENTS:
            self._percent, self._shown_at = percent, now
            task = asyncio.create_task(self._show())
            self._showing.add(task)
            task.add_done_callback(self._showing.discard)

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
        self.message.metadata = {_METADATA: [asdict(outcome) for outcome in self.outcomes]}
        self.message.actions = self.buttons()
        await self.message.send()

    def buttons(self) -> list[cl.Action]:
        """The buttons, which from now on keep what they stand for."""
        dropped = cl.user_session.get(_SESSION_KEY) or {}
        ids = {one.document_id: one.name for one in self.outcomes if one.document_id is not None}
        cl.user_session.set(_SESSION_KEY, {**dropped, **dict.fromkeys(ids, self)})
        return [
            cl.Action(
                name=ACTION,
                label="Keep in library" if len(self.outcomes) == 1 else f"Keep {name} in library",
                tooltip="Other chats can use it too, and it stays after this one",
                payload={"document": document_id},
            )
            for document_id, name in ids.items()
        ]

    @classmethod
    def of(cls, step: StepDict) -> Notice:
        """The notice that a kept step shows."""
        notice = cls([])
        notice.outcomes = [Outcome(**outcome) for outcome in step["metadata"][_METADATA]]
        notice.message = cl.Message.from_dict(step)
        return notice

    def already_kept(self, documents: Collection[str]) -> None:
        """Take these as kept in the library before."""
        self._kept.update(documents)

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
            state = "left out" if self._stopped else "waiting"
            if self._reading and index == 0:
                state = f"is being read … {self._percent} %" if self._percent else "is being read …"
            lines.append(f"· {code(name)} {state}")
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


async def resume_dropped(stage: Backstage, thread: Mapping[str, Any]) -> None:
    """Put the buttons back under the notices of a thread that was opened again, for what is still its own alone."""
    notices = [Notice.of(step) for step in thread["steps"] if _METADATA in (step.get("metadata") or {})]
    if not notices:
        return
    library = (await stage.assistant()).library
    here = thread_collection(str(thread["id"]), library.user)
    records = await asyncio.to_thread(lambda: library.documents(library.collections()))
    own = {record.document_id for record in records if record.collection == here}
    for notice in notices:
        notice.already_kept({record.document_id for record in records} - own)
        for button in notice.buttons():
            if button.payload["document"] in own:
                await button.send(for_id=notice.message.id)


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
