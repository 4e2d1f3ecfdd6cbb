"""What every handler of the page needs, opened once for the process: the assistant, the uploads, the running turns.

The assistant opens and warms up in a thread of its own, so the page is up before any model is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from chat.errors import Unguarded
from chat.log import LOGGER, report_unexpected
from chat.turns import Turns

if TYPE_CHECKING:
    from agent.events import Event
    from agent.settings import Settings
    from retrieval.records import DocumentRecord, IngestReport


class LibraryLike(Protocol):
    """The part of the library that the page reads."""

    def documents(self, collections: Sequence[str] | None = None) -> list[DocumentRecord]:
        """What is in the given collections."""

    def document(self, document_id: str) -> DocumentRecord:
        """One document by its id."""

    def text(self, document_id: str) -> str:
        """A document's extracted text, in which a source's offsets lie."""


class AssistantLike(Protocol):
    """The part of the assistant that the page uses."""

    @property
    def library(self) -> LibraryLike:
        """The person's documents."""

    def astream(self, question: str, *, thread: str | None = None) -> AsyncIterator[Event]:
        """The answer as events, an async generator; closing it ends the work."""

    def add_documents(
        self,
        paths: Sequence[str | Path],
        *,
        thread: str | None = None,
        names: Mapping[Path, str] | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> IngestReport:
        """Bring files into a thread's own collection."""

    def keep_document(self, document_id: str) -> None:
        """Move a thread's document into the library."""


class HouseLike(Protocol):
    """What opens the assistant; `agent.assembly.House`, or a test's stand-in."""

    @property
    def settings(self) -> Settings:
        """The resolved settings."""

    def assistant(self) -> AssistantLike:
        """The assistant, opened at the first call."""

    def warm_up(self) -> None:
        """Load the models, so that the first answer is quick."""

    def close(self) -> None:
        """Close what was opened."""


class Backstage:
    """The process-wide parts behind the page."""

    def __init__(self, house: HouseLike) -> None:
        self.settings = house.settings
        self.turns = Turns()
        self._house = house
        self._assistant: Future[AssistantLike] = Future()
        self._started = threading.Lock()

    @property
    def uploads(self) -> Path:
        """Where files that were dropped into a chat are kept for good."""
        return self.settings.home / "uploads"

    def start(self) -> None:
        """Begin to open the assistant, unless that has begun; returns at once."""
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._open, name="hearth-warm-up", daemon=True).start()

    async def assistant(self) -> AssistantLike:
        """The assistant, as soon as it is open.

        Raises:
            Exception: whatever kept it from opening, each time it is asked for.
        """
        self.start()
        return await asyncio.wrap_future(self._assistant)

    def close(self) -> None:
        """End every answer and close what was opened."""
        self.turns.cancel_all()
        self._house.close()

    def _open(self) -> None:
        try:
            assistant = self._house.assistant()
        except Exception as error:  # reaches whoever asks for the assistant as itself
            self._assistant.set_exception(error)
            return
        self._assistant.set_result(assistant)
        try:
            self._house.warm_up()
        except Exception:
            # The first question meets the same trouble and tells the person; here it only goes into the log.
            report_unexpected("warming up")
        else:
            LOGGER.info("the models are loaded")


_current: Backstage | None = None


def set_stage(stage: Backstage) -> None:
    """Make this the stage that the page's handlers find; called once, before the page is loaded."""
    global _current
    _current = stage


def has_stage() -> bool:
    """True when the server that guards the page runs in this process."""
    return _current is not None


def stage() -> Backstage:
    """The stage of this process.

    Raises:
        Unguarded: the page was loaded by something other than `chat.serve`.
    """
    if _current is None:
        raise Unguarded
    return _current
