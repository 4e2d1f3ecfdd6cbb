"""A home's chats as the page uses them: threads, files, feedback and sign-ins over one store, off the event loop.

What is written is written in the order in which it was asked for, by one thread of execution.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from chat.elements import Elements
from chat.feedback import Feedback
from chat.sign_in import SignIn
from chat.tables import open_store
from chat.threads import Threads

Result = TypeVar("Result")


class Chats:
    """Everything that the chat keeps in a home.

    Args:
        home: the data folder.
        url: the PostgreSQL server that keeps them instead; empty for none.
        always_asks: whether it is asked who somebody is before there are users.

    Raises:
        ChatsUnreadable: they cannot be used.
    """

    def __init__(self, home: Path, url: str = "", *, always_asks: bool = False) -> None:
        self._store = open_store(home, url)
        # A connection of its own: a check of who asks does not wait for a thread that is being written.
        self._people_store = open_store(home, url)
        self.sign_in = SignIn(self._people_store, always_asks=always_asks)
        self.threads = Threads(self._store)
        self.elements = Elements(self._store)
        self.feedback = Feedback(self._store)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hearth-chats")
        self._writer.submit(self.elements.sweep)

    async def do(self, work: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
        """Run a method of `threads`, `elements` or `feedback` after all that were asked for before."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, partial(work, *arguments, **named))

    def close(self) -> None:
        """Finish what was asked for and close the store."""
        self._writer.shutdown(wait=True)
        self._store.close()
        self._people_store.close()
