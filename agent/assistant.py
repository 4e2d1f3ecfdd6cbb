"""The assistant: one question in, typed events or one checked answer out, over the person's own documents.

The same object serves the chat page, the command line and Python callers; `async` twins run the same code in a
worker thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableLambda

from agent import answering, scope
from agent.answering import Clock, Draft
from agent.arguments import Asked
from agent.errors import AgentError, BadInput, ThreadsUnreadable
from agent.events import Answer, Answered, Event, Failed, Token
from agent.follow_up import self_standing
from agent.grounding import Judge, JudgeSource
from agent.language import Crossing, LanguageBridge
from agent.memory import ThreadMemory
from agent.relevance import relevance
from agent.request import AnyLibrary, Request, chosen, searched
from agent.routing import ANSWER, AUTO, FROM_LIBRARY
from agent.settings import Settings, load_settings
from agent.strategies.use import RouterSource, Serving, ToolUse
from agent.survey import Surveyor
from agent.thread_summary import fold
from agent.toolbox import ToolSource
from models.errors import ModelError, PromptTooLong
from models.prompts import chat_messages
from retrieval import UserLibrary
from retrieval.errors import RetrievalError
from retrieval.owners import own_collection, thread_collection

if TYPE_CHECKING:
    from agent.assembly import House
    from retrieval import IngestReport
    from retrieval.records import DocumentRecord

NAMED_ERRORS = (AgentError, ModelError, RetrievalError)
_LOG = logging.getLogger(__name__)
# No tokenizer in use makes fewer than one token of this many characters of ordinary text.
_CHARACTERS_PER_TOKEN = 16


class Assistant:
    """Answers questions from a library with a chat model; open one with `Assistant.open()`.

    With a user's library (`for_user`) it adds to, searches and remembers what is this user's alone, and reads what is
    shared.
    """

    def __init__(
        self,
        chat_model: BaseChatModel,
        library: AnyLibrary,
        settings: Settings,
        house: House | None = None,
        *,
        memory: ThreadMemory | None = None,
        languages: LanguageBridge | None = None,
        tools: ToolSource | None = None,
        router: RouterSource | None = None,
        judge: JudgeSource | None = None,
        serving: Serving | None = None,
    ) -> None:
        self.chat_model = chat_model
        self.library = library
        self.settings = settings
        self._house = house
        self._memory = memory or ThreadMemory()
        self._languages = languages
        self._judge = judge
        self._tools = ToolUse(chat_model, settings, library, tools, router, serving)

    @classmethod
    def open(cls, settings: Settings | None = None, **overrides: Any) -> Assistant:
        """Open settings, models and library as configured; models load at the first question.

        Args:
            settings: resolved settings; None resolves them from environment, file and defaults.
            **overrides: single settings by name, such as `home="/data"` or `top_k=6`; not together with `settings`.
        """
        from agent.assembly import House

        house = House(settings or load_settings(overrides))
        return cls(
            *(house.chat_model(), house.library(), house.settings, house),
            memory=house.memory(),
            languages=LanguageBridge.of(house),
            tools=house.tools,
            router=house.router,
            judge=house.judge,
            serving=house.label_serving,
        )

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
        own = self.library.for_user(user, shared)
        tools, router = self._tools.source, self._tools.router
        return Assistant(
            *(self.chat_model, own, self.settings),
            memory=self._memory.of(user),
            languages=self._languages,
            tools=tools,
            router=router,
            judge=self._judge,
            serving=self._tools.serving,
        )

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
        self._memory.forget(thread)

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

        Raises:
            AgentError, ModelError, RetrievalError: the question cannot be answered; each has a `code`.
        """
        request = Request(question, thread, collection, tool, documents, strategy, over)
        for event in self._events(request, threading.Event()):
            if isinstance(event, Answered):
                return event.answer
        raise AssertionError("every path of _events ends with Answered")

    async def aask(self, question: str, **options: Any) -> Answer:
        """`ask`, with its arguments, without blocking the event loop."""
        return await asyncio.to_thread(self.ask, question, **options)

    def stream(
        self,
        question: str,
        *,
        thread: str | None = None,
        collection: str | None = None,
        tool: str = AUTO,
        documents: Sequence[str | Path] | None = None,
        strategy: str | None = None,
        over: str = scope.AUTO,
    ) -> Generator[Event, None, None]:
        """The answer as events, the last one Answered or Failed; closing the iterator cancels the work."""
        yield from self._reported(
            Request(question, thread, collection, tool, documents, strategy, over), threading.Event()
        )

    def _reported(self, request: Request, cancel: threading.Event) -> Generator[Event, None, None]:
        try:
            yield from self._events(request, cancel)
        except NAMED_ERRORS as error:
            yield Failed(error.code, str(error))
        finally:
            cancel.set()

    async def astream(
        self,
        question: str,
        *,
        thread: str | None = None,
        collection: str | None = None,
        tool: str = AUTO,
        documents: Sequence[str | Path] | None = None,
        strategy: str | None = None,
        over: str = scope.AUTO,
    ) -> AsyncIterator[Event]:
        """`stream` for the event loop: the work runs in a thread, and leaving the loop early cancels it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()
        left = threading.Event()
        request = Request(question, thread, collection, tool, documents, strategy, over)

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
        given = (question, passages, sources, self.settings, Clock(), threading.Event(), self._support_judge())
        events = answering.answer_from(self.chat_model, *given)
        return next(event.answer for event in events if isinstance(event, Answered))

    def _support_judge(self) -> Judge | None:
        return self._judge() if self._judge else None

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

    def _events(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        clock, question = Clock(), request.question
        if not any(character.isalnum() for character in question):
            yield Answered(Answer("Type a question or a request, and I will answer it.", model=self._model_name()))
            return
        self._refuse_too_long(question)
        collections = searched(self.library, request, self.settings.collection)
        records = self.library.documents(collections)
        if request.documents is not None:
            records = chosen(records, request.documents)
        if request.over != scope.AUTO and request.tool == AUTO:  # the person says how the documents are to be read
            request = replace(request, tool=ANSWER)
        if self._tools.loops(request):
            yield from self._by_loop(request, collections, records, clock, cancel)
            return
        asked = Asked(question, records, self._last_answer(request.thread))
        tool, plan = self._tools.choose(asked, request)
        clock.route_ms = clock.now_ms()
        if tool is None:
            yield from self._chat(request, clock, cancel)
        elif tool in FROM_LIBRARY:
            yield from self._from_documents(request, collections, records, clock, cancel)
        else:
            plan = plan or self._tools.plan(tool, asked, cancel)
            answer, go_on = yield from self._tools.carry_out(tool, plan, clock, cancel)
            if go_on and request.tool == AUTO:
                yield from self._without_tool(answer, request, clock, cancel)
            else:
                yield from self._remembered(request, iter([Answered(answer)]))

    def _by_loop(
        self,
        request: Request,
        collections: Sequence[str],
        records: Sequence[DocumentRecord],
        clock: Clock,
        cancel: threading.Event,
    ) -> Iterator[Event]:
        def ask_library(question: str, left: threading.Event) -> Iterator[Event]:
            alone = replace(request, question=question, thread=None)
            yield from self._from_documents(alone, collections, records, Clock(), left)

        room = answering.prompt_limit(self.chat_model) // 2
        history = self._memory.messages(request.thread, room, self.chat_model.get_num_tokens)
        answer = yield from self._tools.loop(request, records, history, ask_library, clock, cancel)
        yield from self._remembered(request, iter([Answered(answer)]))

    def _without_tool(self, failed: Answer, request: Request, clock: Clock, cancel: threading.Event) -> Iterator[Event]:
        """A plain reply after the words that say which tool did not work; the time it took is not the model's."""
        yield Token(f"{failed.text}\n\n")
        later = replace(clock, started=time.perf_counter(), first_token_ms=None)
        for event in self._chat(request, later, cancel):
            if isinstance(event, Answered):
                event = Answered(replace(event.answer, text=f"{failed.text}\n\n{event.answer.text}"))
            yield event

    def _last_answer(self, thread: str | None) -> str | None:
        turns = self._memory.turns(thread)
        return turns[-1].answer if turns else None

    def confirm(self, proposal: str) -> Answer:
        """Do what a `Proposed` event proposed: call its tool with its arguments, once.

        Raises:
            UnknownProposal: nothing of that id waits.
        """
        return self._tools.confirm(proposal)

    def _from_documents(
        self,
        request: Request,
        collections: Sequence[str],
        records: Sequence[DocumentRecord],
        clock: Clock,
        cancel: threading.Event,
    ) -> Iterator[Event]:
        question = self._standing(request, cancel)
        if scope.reach(request.over, question, len(records)) == scope.ALL:
            crossing = self._crossing(question)
            surveyor = Surveyor(self.chat_model, self.library, self.settings)
            asked = crossing.question if crossing else question
            events = surveyor.survey(asked, records, clock, cancel)
            yield from self._remembered(request, crossing.back(events) if crossing else events, question)
            return
        only = None if request.documents is None else records
        passages = yield from self._searched(question, collections, clock, only)
        crossing, own = self._crossing(question, passages), question
        if crossing and crossing.question != question:
            question = crossing.question
            passages = yield from self._searched(question, collections, clock, only)
        if relevance(passages) < self.settings.relevance_floor:
            events = iter([answering.not_in_documents(question, self.chat_model, len(records), clock)])
        else:
            paths = {record.document_id: record.path for record in records}
            sources = [
                answering.source_of(number, passage, paths.get(passage.metadata["document_id"]))
                for number, passage in enumerate(passages, start=1)
            ]
            given = (question, passages, sources, self.settings, clock, cancel, self._support_judge())
            events = answering.answer_from(self.chat_model, *given)
        events = answering.still_there(events, self.library)
        yield from self._remembered(request, crossing.back(events) if crossing else events, own)

    def _searched(
        self,
        question: str,
        collections: Sequence[str],
        clock: Clock,
        only: Sequence[DocumentRecord] | None,
    ) -> Generator[Event, None, list[Document]]:
        passages: list[Document] = []
        for item in answering.search(self.library, question, collections, self.settings, clock, only):
            if isinstance(item, list):
                passages = item
            else:
                yield item
        return passages

    def _crossing(self, question: str, passages: Sequence[Document] = ()) -> Crossing | None:
        """The way to an answer in the question's language, where the chat model does not know it."""
        return self._languages.crossing(question, passages) if self._languages else None

    def _standing(self, request: Request, cancel: threading.Event) -> str:
        """The question as it is understood without its thread."""
        return self_standing(request.question, self._memory.turns(request.thread), self.chat_model, cancel).question

    def _chat(self, request: Request, clock: Clock, cancel: threading.Event) -> Iterator[Event]:
        limit, count = answering.prompt_limit(self.chat_model), self.chat_model.get_num_tokens
        room = (limit - count(request.question)) // 2
        history = self._memory.messages(request.thread, room, count)
        earlier = fold(
            self._memory, request.thread, self.chat_model, budget_tokens=room, prompt_tokens=limit // 2, cancel=cancel
        )
        crossing = self._crossing(request.question)
        draft = Draft()
        messages = chat_messages(crossing.question if crossing else request.question, history, earlier.text)
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
        events: Iterator[Event] = iter([Answered(answer)])
        yield from self._remembered(request, crossing.back(events) if crossing else events)

    def _remembered(self, request: Request, events: Iterator[Event], standing: str | None = None) -> Iterator[Event]:
        for event in events:
            if isinstance(event, Answered):
                try:
                    self._memory.add(request.thread, request.question, event.answer.text, standing=standing)
                except ThreadsUnreadable as error:  # a full disk shall not take away the answer that is there
                    _LOG.warning("the turn is not kept: %s", error)
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
