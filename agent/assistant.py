"""The assistant: one question in, typed events or one checked answer out, over the person's own documents.

The same object serves the chat page, the command line and Python callers; `async` twins run the same code in a
worker thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool

from agent import answering, scope
from agent.answering import Clock
from agent.errors import AgentError, BadInput
from agent.events import Answer, Answered, Event, Failed
from agent.reply import Parts, reply
from agent.request import Options, Request
from agent.routing import AUTO
from agent.settings import Settings, load_settings
from models.errors import ModelError
from retrieval import UserLibrary
from retrieval.errors import RetrievalError
from retrieval.owners import own_collection, thread_collection

if TYPE_CHECKING:
    from agent.assembly import House
    from retrieval import IngestReport

NAMED_ERRORS = (AgentError, ModelError, RetrievalError)


@dataclass(eq=False, repr=False, kw_only=True)
class Assistant(Parts):
    """Answers questions from a library with a chat model; open one with `Assistant.open()`.

    With a user's library (`for_user`) it adds to, searches and remembers what is this user's alone, and reads what is
    shared.

    Args:
        house: what it came from and closes in the end; None closes nothing.
    """

    house: House | None = None

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Assistant:
        """Open settings, models and library as configured; models load at the first question.

        Args:
            settings: resolved settings; None resolves them from environment, file and defaults.
            **overrides: single settings by name, such as `home="/data"` or `top_k=6`; not together with `settings`.
        """
        from agent.assembly import House

        return House(settings or load_settings(overrides)).assistant()

    def for_user(self, user: str, shared: Sequence[str] | None = None) -> Assistant:
        """An assistant for one of several users, over the same models: it cannot reach what belongs to another.

        Args:
            user: who asks; keep what is returned for them, as it remembers their threads.
            shared: the shared collections they may read; None is all of them.

        Raises:
            BadInput: this assistant is a user's already.
            BadUser: the name is empty.
        """
        if isinstance(self.library, UserLibrary):
            raise BadInput(f"This is the assistant of {self.library.user}; ask the one that it came from.")
        return replace(self, library=self.library.for_user(user, shared), memory=self.memory.of(user), house=None)

    def add_documents(
        self,
        paths: Sequence[str | Path],
        *,
        collection: str | None = None,
        thread: str | None = None,
        names: Mapping[Path, str] | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> IngestReport:
        """Bring files and folders into the library.

        Args:
            paths: files, or folders that are walked.
            collection: where to; None is the settings' collection, or with a user, the user's own.
            thread: keep them with this thread alone until `keep_document`.
            names: what to call a file that is stored under another name.
            on_progress: called with each step's progress.
        """
        target = thread_collection(thread, self.library.user) if thread else self._home_of(collection)
        return self.library.add(paths, collection=target, names=names, on_progress=on_progress)

    def keep_document(self, document_id: str, *, collection: str | None = None) -> None:
        """Move a thread's document into the library for good."""
        self.library.move(document_id, self._home_of(collection))

    def _home_of(self, collection: str | None) -> str:
        user = self.library.user
        return own_collection(user, collection) if user else collection or self.settings.collection

    def forget(self, thread: str | None = None) -> None:
        """Forget what was said in a thread, or with None in all of them; documents stay."""
        self.memory.forget(thread)

    def take_back(self, thread: str, messages: Sequence[str]) -> None:
        """Forget what was said in a thread since it was asked by one of these messages, such as an edited one."""
        self.memory.take_back(thread, messages)

    def ask(
        self,
        question: str,
        *,
        thread: str | None = None,
        collection: str | None = None,
        tool: str = AUTO,
        documents: Sequence[str | Path] | None = None,
        strategy: str | None = None,
        over: str = scope.AUTO,
        arguments: Mapping[str, Any] | None = None,
        message: str | None = None,
    ) -> Answer:
        """One question, one checked answer.

        Args:
            question: the person's words.
            thread: the conversation it belongs to, whose files are searched too.
            collection: what is searched; None is the settings' collection, with a user also all of theirs.
            tool: `auto`, `none` or a tool's name.
            documents: only these may answer: ids, names, or paths of files that were added before.
            strategy: `router`, `loop` or `auto`; None is the settings'.
            over: `all` reads every document in turn, `best` the passages that fit best, `auto` as the question wants.
            arguments: what the named tool is called with, as it stands; None takes it from the question's words.
            message: the id under which `take_back` finds the turn.

        Raises:
            AgentError, ModelError, RetrievalError: the question cannot be answered; each has a `code`.
        """
        request = Request(question, thread, collection, tool, documents, strategy, over, arguments, message)
        for event in reply(self, request, threading.Event()):
            if isinstance(event, Answered):
                return event.answer
        raise AssertionError("every path of a reply ends with Answered")

    def named_tools(self) -> Mapping[str, BaseTool]:
        """The tools that a question may name, by their names; the first look may start MCP servers, and blocks."""
        return self.use.toolbox.tools

    async def aask(self, question: str, **options: Unpack[Options]) -> Answer:
        """`ask`, with its arguments, without blocking the event loop."""
        return await asyncio.to_thread(self.ask, question, **options)

    def stream(self, question: str, **options: Unpack[Options]) -> Generator[Event, None, None]:
        """The answer as events, the last one Answered or Failed; closing the iterator cancels the work.

        Args:
            question: the person's words.
            **options: as for `ask`.
        """
        yield from self._reported(Request(question, **options), threading.Event())

    def _reported(self, request: Request, cancel: threading.Event) -> Generator[Event, None, None]:
        try:
            yield from reply(self, request, cancel)
        except NAMED_ERRORS as error:
            yield Failed(error.code, str(error))
        finally:
            cancel.set()

    async def astream(self, question: str, **options: Unpack[Options]) -> AsyncIterator[Event]:
        """`stream` for the event loop: the work runs in a thread, and leaving the loop early cancels it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        left = threading.Event()
        request = Request(question, **options)

        def work() -> None:
            events = self._reported(request, left)
            last: BaseException | None = None
            try:
                for event in events:
                    if left.is_set():
                        break
                    loop.call_soon_threadsafe(queue.put_nowait, event)
            except BaseException as error:
                last = error  # reaches the reader as itself
            finally:
                events.close()
                if not loop.is_closed():
                    loop.call_soon_threadsafe(queue.put_nowait, last)

        worker = threading.Thread(target=work, name="hearth-answer", daemon=True)
        worker.start()
        try:
            while (event := await queue.get()) is not None:
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            left.set()

    def as_runnable(self) -> RunnableLambda[str | dict[str, Any], Answer]:
        """A LangChain Runnable from a question (or a dict of `ask`'s arguments) to an Answer."""

        def run(value: str | dict[str, Any]) -> Answer:
            return self.ask(**({"question": value} if isinstance(value, str) else value))

        async def arun(value: str | dict[str, Any]) -> Answer:
            return await asyncio.to_thread(run, value)

        return RunnableLambda(run, afunc=arun, name="hearth")

    def answer_from(self, question: str, passages: Sequence[Document]) -> Answer:
        """One checked answer from given passages instead of a search; each needs the metadata a search gives."""
        sources = [answering.source_of(number, passage) for number, passage in enumerate(passages, start=1)]
        given = (question, passages, sources, self.settings, Clock(), threading.Event())
        checks = (self.support_judge(), self.passage_reader())
        events = answering.answer_from(self.chat_model, *given, *checks)
        return next(event.answer for event in events if isinstance(event, Answered))

    def confirm(self, proposal: str) -> Answer:
        """Do what a `Proposed` event proposed: call its tool with its arguments, once.

        Raises:
            UnknownProposal: nothing of that id waits.
        """
        return self.use.confirm(proposal)

    def close(self) -> None:
        """Close the house that it came from."""
        if self.house is not None:
            self.house.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
