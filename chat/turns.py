"""One answer at a time for each chat session, and a way to end it (Q07, Q08, S06).

Chainlit remembers only a session's latest task, so a second message would make the first one unstoppable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

REPLACED = "replaced"
"""What a cancelled task is told when an edited message takes its place, and not a person's Stop."""


class StillAnswering(Exception):
    """The session has an answer running; the new message is not begun."""


@dataclass
class _Session:
    task: asyncio.Task[object] | None = None
    # Messages seen so far: one that comes again was edited, and takes the place of what runs.
    messages: set[str] = field(default_factory=set)


class Turns:
    """The running answers of all sessions of this process."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}

    @asynccontextmanager
    async def turn(self, session_id: str, message_id: str) -> AsyncIterator[None]:
        """The session's only turn, held by the current task until the block ends.

        Raises:
            StillAnswering: another message is being answered.
        """
        session = self._sessions.setdefault(session_id, _Session())
        if session.task is not None:
            if message_id not in session.messages:
                raise StillAnswering
            await _end(session.task)
        session.messages.add(message_id)
        task = asyncio.current_task()
        session.task = task
        try:
            yield
        finally:
            if session.task is task:
                session.task = None

    async def replace(self, session_id: str) -> None:
        """End the session's running answer for an edited message, and wait until it has gone."""
        session = self._sessions.get(session_id)
        if session is not None and session.task is not None:
            await _end(session.task)

    def cancel(self, session_id: str) -> bool:
        """End the session's running answer; False when there is none."""
        session = self._sessions.get(session_id)
        if session is None or session.task is None:
            return False
        return session.task.cancel()

    def forget(self, session_id: str) -> None:
        """End the session's running answer and drop what is known of it."""
        self.cancel(session_id)
        self._sessions.pop(session_id, None)

    def is_running(self, session_id: str) -> bool:
        """Whether the session's answer is being given now."""
        session = self._sessions.get(session_id)
        return session is not None and session.task is not None

    def running(self) -> int:
        """How many answers are being given now."""
        return sum(session.task is not None for session in self._sessions.values())

    def cancel_all(self) -> None:
        """End every running answer: the server stops."""
        for session_id in list(self._sessions):
            self.cancel(session_id)


async def _end(task: asyncio.Task[object]) -> None:
    task.cancel(REPLACED)
    await asyncio.wait({task})
