"""Chainlit's data layer over a home's own chats: whoever asks reads, changes and deletes what is theirs, nothing else.

Chainlit checks the session in some routes and the owner in few (FAULTS C4 to C7), so every method here takes the person
from the guard and hands their name down into the query.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainlit.context import context
from chainlit.data.base import BaseDataLayer
from chainlit.data.utils import queue_until_user_message
from chainlit.session import ws_sessions_id
from chainlit.types import PageInfo, PaginatedResponse
from chainlit.user import PersistedUser, User

from chat.backstage import Backstage
from chat.chats import Chats
from chat.errors import ChatError, NotThere
from chat.identity import Person, present, required
from chat.log import LOGGER, report_unexpected
from chat.uploads import forget_thread

if TYPE_CHECKING:
    from chainlit.element import Element, ElementDict
    from chainlit.step import StepDict
    from chainlit.types import Feedback, Pagination, ThreadDict, ThreadFilter

# Of all that Chainlit wants to keep of a session, what the page needs to look as it did.
_KEPT_OF_A_SESSION = ("chat_profile", "chat_settings")
_NOT_KEPT = "This could not be kept, so it will be missing when you come back: {reason}"


class DataLayer(BaseDataLayer):
    """Threads, steps, elements and feedback of whoever asks."""

    def __init__(self, backstage: Backstage) -> None:
        self._backstage = backstage
        self._chats: Chats = backstage.chats

    # Users -----------------------------------------------------------------------------------------------------------

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """The user of this name, as the guard let them in; their rows need no making."""
        person = present()
        return as_user(person) if person is not None and person.name == identifier else None

    async def create_user(self, user: User) -> PersistedUser | None:
        """The user who is about to be let in; they are made by `hearth users add` alone."""
        return as_user(Person(user.identifier))

    # Threads ---------------------------------------------------------------------------------------------------------

    async def get_thread_author(self, thread_id: str) -> str:
        """Whose a thread is, as far as it is the asker's; empty for any other, which the page then does not find."""
        owner = required().name
        return owner if await self._chats.do(self._chats.threads.owns, owner, thread_id) else ""

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse[ThreadDict]:
        """A page of the asker's threads, whoever's the filter names."""
        page = await self._chats.do(
            self._chats.threads.page,
            required().name,
            first=pagination.first,
            after=pagination.cursor,
            search=filters.search or "",
            feedback=filters.feedback,
        )
        ids = [thread["id"] for thread in page.threads]
        info = PageInfo(page.more, ids[0] if ids else None, ids[-1] if ids else None)
        return PaginatedResponse(pageInfo=info, data=page.threads)  # type: ignore[arg-type]

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """A thread of the asker's, or one that is shared."""
        thread = await self._chats.do(self._chats.threads.thread, required().name, thread_id)
        if thread is not None:
            thread["elements"] = [_with_address(element) for element in thread["elements"]]
        return thread  # type: ignore[return-value]

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Name or share the asker's thread; a session that ends in a thread that was deleted leaves nothing."""
        kept = {key: metadata[key] for key in _KEPT_OF_A_SESSION if key in metadata} if metadata else None
        shared = metadata.get("is_shared") if metadata else None
        change = self._chats.threads.update
        try:
            await self._chats.do(change, required().name, thread_id, name=name, metadata=kept, is_shared=shared)
        except NotThere:
            LOGGER.info("a chat that was deleted was not changed")

    async def delete_thread(self, thread_id: str) -> None:
        """Delete the asker's thread with its documents, its files, and what the assistant remembers of it."""
        if not await self.get_thread_author(thread_id):
            raise NotThere("chat")
        for session in ws_sessions_id.values():
            if session.thread_id == thread_id:
                self._backstage.turns.cancel(session.id)
        assistant = await self._backstage.assistant()
        forgotten = assistant.library, assistant.forget, self._backstage.uploads, thread_id
        await asyncio.to_thread(forget_thread, *forgotten)
        await self._chats.do(self._chats.threads.delete, required().name, thread_id)
        await self._chats.do(self._chats.elements.forget_thread, thread_id)

    # Steps and elements ----------------------------------------------------------------------------------------------

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def create_step(self, step_dict: StepDict) -> None:
        """Keep a step."""
        await self._kept(self._chats.threads.save_step, required().name, step_dict)

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def update_step(self, step_dict: StepDict) -> None:
        """Keep a step as it is now."""
        await self._kept(self._chats.threads.save_step, required().name, step_dict)

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def delete_step(self, step_id: str) -> None:
        """Delete a step."""
        await self._kept(self._chats.threads.delete_step, required().name, step_id)

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def create_element(self, element: Element) -> None:
        """Keep an element with its file."""
        content = element.content.encode() if isinstance(element.content, str) else element.content
        file = Path(element.path) if element.path else content
        await self._kept(self._chats.elements.save, required().name, element.to_dict(), file)

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """An element of a thread that the asker may read."""
        element = await self._chats.do(self._chats.elements.element, required().name, thread_id, element_id)
        if element is None:
            raise NotThere("file")
        return _with_address(element)  # type: ignore[return-value]

    @queue_until_user_message()  # type: ignore[untyped-decorator]
    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Delete an element."""
        await self._chats.do(self._chats.elements.delete, required().name, element_id)

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:
        """None: the page has no favourites."""
        return []

    # Feedback --------------------------------------------------------------------------------------------------------

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Keep what the asker thinks of a message of theirs."""
        mark = self._chats.feedback.mark
        return await self._chats.do(mark, required().name, feedback.forId, feedback.value, feedback.comment)

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Take it back."""
        await self._chats.do(self._chats.feedback.unmark, required().name, feedback_id)
        return True

    async def build_debug_url(self) -> str:
        """None: there is no other place to look at a thread."""
        return ""

    async def close(self) -> None:
        """Nothing: the stage closes the chats."""

    async def _kept(self, work: Any, *arguments: Any) -> None:
        """Write; Chainlit asks for it in tasks whose errors nobody reads, so a failure is said on the page here."""
        try:
            await self._chats.do(work, *arguments)
        except NotThere:
            LOGGER.warning("something for a chat that was deleted or is another's was not kept")
        except ChatError as error:
            await context.emitter.send_toast(_NOT_KEPT.format(reason=error), "error")
        except OSError as error:
            report_unexpected("keeping a chat")
            await context.emitter.send_toast(_NOT_KEPT.format(reason=error.strerror), "error")


def as_user(person: Person) -> PersistedUser:
    """Somebody as Chainlit knows them."""
    return PersistedUser(id=person.name, createdAt="", identifier=person.name, metadata={"admin": person.is_admin})


def element_address(thread: str, element: str) -> str:
    """Where the page finds an element's file, under the checks of `chat/element_files.py`."""
    return f"/project/file/{thread}/{element}"


def _with_address(element: dict[str, Any]) -> dict[str, Any]:
    """An element whose file is fetched from our own route; the session that held its file is gone."""
    address = element.get("url") or element_address(str(element["threadId"]), str(element["id"]))
    return {**element, "url": address, "chainlitKey": None}
