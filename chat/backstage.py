"""What every handler of the page needs, opened once for the process: the assistant, the uploads, the running turns.

The assistant opens and warms up in a thread of its own, so the page is up before any model is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from chat.chats import Chats
from chat.errors import Unguarded
from chat.identity import required
from chat.log import LOGGER, report_unexpected
from chat.logins import logins
from chat.turns import Turns

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.events import Answer, Event
    from agent.request import Options
    from agent.settings import Settings
    from models.serving import Roles
    from retrieval.records import DocumentRecord, IngestReport

UPLOADS = "uploads"
"""The folder of the data home that dropped files are kept in."""


class LibraryLike(Protocol):
    """The part of the library that the page reads."""

    @property
    def user(self) -> str | None:
        """Whose part of a library it is; None for the whole one."""

    def collections(self) -> list[str]:
        """Every collection that may be read."""

    def documents(self, collections: Sequence[str] | None = None) -> list[DocumentRecord]:
        """What is in the given collections."""

    def document(self, document_id: str) -> DocumentRecord:
        """One document by its id."""

    def text(self, document_id: str) -> str:
        """A document's extracted text, in which a source's offsets lie."""

    def positions(self, document_id: str) -> list[tuple[int, str]]:
        """What a document's passages stand under, with where each begins."""

    def add(
        self, paths: Sequence[str | Path], *, collection: str = ..., names: Mapping[Path, str] | None = None
    ) -> IngestReport:
        """Read files into a collection."""

    def remove(self, documents: Sequence[str]) -> list[DocumentRecord]:
        """Take documents out."""


class AssistantLike(Protocol):
    """The part of the assistant that the page uses."""

    @property
    def library(self) -> LibraryLike:
        """The person's documents."""

    def astream(self, question: str, **options: Unpack[Options]) -> AsyncIterator[Event]:
        """The answer as events, an async generator; closing it ends the work. The options are those of `ask`."""

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

    def confirm(self, proposal: str) -> Answer:
        """Do what was proposed, once."""

    def for_user(self, user: str) -> AssistantLike:
        """The assistant of one of several users."""

    def take_back(self, thread: str, messages: Sequence[str]) -> None:
        """Forget what was said in a thread since one of these messages asked."""

    def named_tools(self) -> Mapping[str, BaseTool]:
        """The tools that a question may name, by their names; may block at the first look."""

    def forget(self, thread: str | None = None) -> None:
        """Forget what was said in a thread."""


class HouseLike(Protocol):
    """What opens the assistant; `agent.assembly.House`, or a test's stand-in."""

    @property
    def settings(self) -> Settings:
        """The resolved settings."""

    def assistant(self) -> AssistantLike:
        """The assistant, opened at the first call."""

    def roles(self) -> Roles:
        """Which model serves each role, and why."""

    def chat_labels(self) -> list[str]:
        """The chat models that a person may choose, the one that serves first."""

    def answer_languages(self) -> Sequence[str]:
        """The codes of the languages that an answer can be translated to."""

    def tuned(
        self,
        assistant: Any,
        *,
        chat_model: str = "",
        temperature: float,
        max_new_tokens: int,
        answer_in: str | None = None,
    ) -> AssistantLike:
        """The assistant with its replies written otherwise."""

    def warm_up(self) -> None:
        """Load the models, so that the first answer is quick."""

    def close(self) -> None:
        """Close what was opened."""


class Backstage:
    """The process-wide parts behind the page."""

    def __init__(self, house: HouseLike) -> None:
        self.settings = house.settings
        self.turns = Turns()
        self.ways = logins(house.settings)
        self.chats = Chats(house.settings.home, house.settings.chats_url, always_asks=self.ways.are_on)
        self.house = house
        self._assistant: Future[AssistantLike] = Future()
        self._started = threading.Lock()
        self._of_users: dict[str, AssistantLike] = {}

    @property
    def uploads(self) -> Path:
        """Where files that were dropped into a chat are kept for good."""
        return self.settings.home / UPLOADS

    def start(self) -> None:
        """Begin to open the assistant, unless that has begun; returns at once."""
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._open, name="hearth-warm-up", daemon=True).start()

    async def assistant(self) -> AssistantLike:
        """The assistant of whoever asks, as soon as it is open; a user's reaches nothing of another's (P03).

        Raises:
            Exception: whatever kept it from opening, each time it is asked for.
        """
        self.start()
        # Shielded: a person who stops waiting must not end it for everybody.
        whole = await asyncio.shield(asyncio.wrap_future(self._assistant))
        person = required()
        if person.is_local:
            return whole
        if person.name not in self._of_users:
            self._of_users[person.name] = whole.for_user(person.name)
        return self._of_users[person.name]

    def close(self) -> None:
        """End every answer and close what was opened."""
        self.turns.cancel_all()
        self.house.close()
        self.chats.close()

    def _open(self) -> None:
        try:
            assistant = self.house.assistant()
        except Exception as error:  # reaches whoever asks for the assistant as itself
            self._assistant.set_exception(error)
            return
        self._assistant.set_result(assistant)
        try:
            self.house.warm_up()
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
