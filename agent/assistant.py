"""The assistant: one question in, typed events or one checked answer out, over the person's own documents.

The same object serves the chat page, the command line and Python callers; `async` twins run the same code in a
worker thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda

from agent import answering
from agent.answering import Clock, Draft
from agent.errors import AgentError
from agent.events import Answer, Answered, Event, Failed
from agent.memory import ThreadMemory
from agent.relevance import relevance
from agent.routing import AUTO, choose_tool
from agent.settings import Settings, load_settings
from models.errors import ModelError, PromptTooLong
from models.prompts import chat_messages
from retrieval.errors import RetrievalError

if TYPE_CHECKING:
    from agent.assembly import House
    from retrieval import IngestReport, Library

NAMED_ERRORS = (AgentError, ModelError, RetrievalError)
# No tokenizer in use makes fewer than one token of this many characters of ordinary text.
_CHARACTERS_PER_TOKEN = 16


class Assistant:
    """Answers questions from a library with a chat model; open one with `Assistant.open()`."""

    def __init__(
        self, chat_model: BaseChatModel, library: Library, settings: Settings, house: House | None = None
    ) -> None:
        self.chat_model = chat_model
        self.library = library
        self.settings = settings
        self._house = house
        self._memory = ThreadMemory()

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Assistant:
        """Open settings, models and library as configured; models load at the first question.

        Args:
            settings: resolved settings; None resolves them from environment, file and defaults.
            **overrides: single settings by name, such as `home="/data"` or `top_k=6`; not together with `settings`.
        """
        from agent.assembly import House

        house = House(settings or load_settings(overrides))
        return cls(house.chat_model(), house.library(), house.settings, house)

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
            collection: where to; None is the settings' collection.
            thread: keep them with this thread alone until `keep_document`.
            names: what to call a file that is stored under another name.
            on_progress: called with each step's progress.
        """
        target = thread_collection(thread) if thread else collection or self.settings.collection
        return self.library.add(paths, collection=target, names=names, on_progress=on_progress)

    def keep_document(self, document_id: str, *, collection: str | None = None) -> None:
        """Move a thread's document into the library for good."""
        self.library.move(document_id, collection or self.settings.collection)

    def ask(
        self, question: str, *, thread: str | None = None, collection: str | None = None, tool: str = AUTO
    ) -> Answer:
        """One question, one checked answer.

        Raises:
            AgentError, ModelError, RetrievalError: the question cannot be answered; each has a `code`.
        """
        for event in self._events(question, thread, collection, tool, threading.Event()):
            if isinstance(event, Answered):
                return event.answer
        raise AssertionError("every path of _events ends with Answered")

    async def aask(
        self, question: str, *, thread: str | None = None, collection: str | None = None, tool: str = AUTO
    ) -> Answer:
        """`ask` without blocking the event loop."""
        return await asyncio.to_thread(self.ask, question, thread=thread, collection=collection, tool=tool)

    def stream(
        self, question: str, *, thread: str | None = None, collection: str | None = None, tool: str = AUTO
    ) -> Generator[Event, None, None]:
        """The answer as events, the last one Answered or Failed; closing the iterator cancels the work."""
        yield from self._reported(question, thread, collection, tool, threading.Event())

    def _reported(
        self, question: str, thread: str | None, collection: str | None, tool: str, cancel: threading.Event
    ) -> Generator[Event, None, None]:
        try:
            yield from self._events(question, thread, collection, tool, cancel)
        except NAMED_ERRORS as error:
            yield Failed(error.code, str(error))
        finally:
            cancel.set()

    async def astream(
        self, question: str, *, thread: str | None = None, collection: str | None = None, tool: str = AUTO
    ) -> AsyncIterator[Event]:
        """`stream` for the event loop: the work runs in a thread, and leaving the loop early cancels it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        left = threading.Event()

        def work() -> None:
            events = self._reported(question, thread, collection, tool, left)
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
        """A LangChain Runnable from a question (or `{"question", "thread", "collection", "tool"}`) to an Answer."""

        def run(value: str | dict[str, Any]) -> Answer:
            return self.ask(**({"question": value} if isinstance(value, str) else value))

        async def arun(value: str | dict[str, Any]) -> Answer:
            return await asyncio.to_thread(run, value)

        return RunnableLambda(run, afunc=arun, name="hearth")

    def answer_from(self, question: str, passages: Sequence[Document]) -> Answer:
        """One checked answer from given passages instead of a search; each needs the metadata a search gives."""
        sources = [answering.source_of(number, passage) for number, passage in enumerate(passages, start=1)]
        events = answering.answer_from(
            self.chat_model, question, passages, sources, self.settings, Clock(), threading.Event()
        )
        return next(event.answer for event in events if isinstance(event, Answered))

    def close(self) -> None:
        """Close what `open` opened."""
        if self._house is not None:
            self._house.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _events(
        self, question: str, thread: str | None, collection: str | None, tool: str, cancel: threading.Event
    ) -> Iterator[Event]:
        clock = Clock()
        if not any(character.isalnum() for character in question):
            yield Answered(Answer("Type a question or a request, and I will answer it.", model=self._model_name()))
            return
        self._refuse_too_long(question)
        collections = [collection or self.settings.collection]
        if thread:
            collections.append(thread_collection(thread))
        documents = len(self.library.documents(collections))
        chosen = choose_tool(question, wanted=tool, has_documents=documents > 0)
        clock.route_ms = clock.now_ms()
        if chosen is None:
            yield from self._chat(question, thread, clock, cancel)
        else:
            yield from self._from_documents(question, thread, collections, documents, clock, cancel)

    def _from_documents(
        self,
        question: str,
        thread: str | None,
        collections: Sequence[str],
        documents: int,
        clock: Clock,
        cancel: threading.Event,
    ) -> Iterator[Event]:
        passages: list[Document] = []
        for item in answering.search(self.library, question, collections, self.settings, clock):
            if isinstance(item, list):
                passages = item
            else:
                yield item
        if relevance(passages) < self.settings.relevance_floor:
            events: Iterator[Event] = iter([answering.not_in_documents(question, self.chat_model, documents, clock)])
        else:
            paths = {record.document_id: record.path for record in self.library.documents(collections)}
            sources = [
                answering.source_of(number, passage, paths.get(passage.metadata["document_id"]))
                for number, passage in enumerate(passages, start=1)
            ]
            events = answering.answer_from(self.chat_model, question, passages, sources, self.settings, clock, cancel)
        yield from self._remembered(question, thread, events)

    def _chat(self, question: str, thread: str | None, clock: Clock, cancel: threading.Event) -> Iterator[Event]:
        room = answering.prompt_limit(self.chat_model) - self.chat_model.get_num_tokens(question)
        history = self._memory.messages(thread, room // 2, self.chat_model.get_num_tokens)
        draft = Draft()
        messages = chat_messages(question, history)
        yield from answering.generate(
            self.chat_model, messages, self.settings, clock, draft, cancel=cancel, copies_source=False
        )
        answer = Answer(
            text=draft.text.strip(),
            model=self._model_name(),
            timings=clock.timings(),
            prompt_tokens=draft.prompt_tokens,
            new_tokens=draft.new_tokens,
            cut_off=draft.cut_off,
        )
        yield from self._remembered(question, thread, iter([Answered(answer)]))

    def _remembered(self, question: str, thread: str | None, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Answered):
                self._memory.add(thread, question, event.answer.text)
            yield event

    def _refuse_too_long(self, question: str) -> None:
        limit = answering.prompt_limit(self.chat_model)
        if len(question) > limit * _CHARACTERS_PER_TOKEN:
            raise PromptTooLong(len(question) // _CHARACTERS_PER_TOKEN, limit, at_least=True)
        count = self.chat_model.get_num_tokens(question)
        if count > limit:
            raise PromptTooLong(count, limit)

    def _model_name(self) -> str:
        return answering.model_name(self.chat_model)


def thread_collection(thread: str) -> str:
    """The collection that holds a thread's own files."""
    return f"thread:{thread}"
