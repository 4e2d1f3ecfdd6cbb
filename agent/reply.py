"""How one question becomes events: which way it is answered, by a tool, from documents or in the model's own words.

Each way ends with Answered and is kept with the thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from agent import answering, scope
from agent.answering import Clock, Draft
from agent.arguments import Asked
from agent.errors import ThreadsUnreadable
from agent.events import Answer, Answered, Event, Token
from agent.follow_up import self_standing
from agent.grounding import Judge, JudgeSource
from agent.language import Crossing, LanguageBridge
from agent.memory import ThreadMemory
from agent.reading import Reader, ReaderSource
from agent.relevance import relevance
from agent.request import AnyLibrary, Request, chosen, searched
from agent.routing import ANSWER, AUTO, FROM_LIBRARY
from agent.settings import Settings
from agent.strategies import LOOP, strategy_for
from agent.strategies.use import RouterSource, Serving, ToolUse
from agent.survey import Surveyor
from agent.thread_summary import fold
from agent.toolbox import ToolSource
from agent.tracing import traced
from models.errors import PromptTooLong
from models.prompts import chat_messages
from retrieval.records import DocumentRecord

_LOG = logging.getLogger(__name__)
# No tokenizer in use makes fewer than one token of this many characters of ordinary text.
_CHARACTERS_PER_TOKEN = 16


@dataclass(eq=False, repr=False)
class Parts:
    """What an assistant answers with.

    Args:
        chat_model: who writes.
        library: what is searched.
        settings: limits and the strategy.
        talker: who replies where neither a tool nor a document is asked; None is `chat_model`.
        memory: the threads; by default new ones, kept nowhere.
        languages: the way to languages that the chat model does not know; None answers as it can.
        tools: gives the tools over a library; None has none.
        router: gives who chooses among them; None goes by rule.
        judge: gives what judges support; None goes by words.
        reader: gives what points at the words that answer, beside a small chat model; None has none.
        serving: tells which models do the tools' work; None tells the chat model alone.
    """

    chat_model: BaseChatModel
    library: AnyLibrary
    settings: Settings
    _: KW_ONLY
    talker: BaseChatModel | None = None
    memory: ThreadMemory = field(default_factory=ThreadMemory)
    languages: LanguageBridge | None = None
    tools: ToolSource | None = None
    router: RouterSource | None = None
    judge: JudgeSource | None = None
    reader: ReaderSource | None = None
    serving: Serving | None = None

    def __post_init__(self) -> None:
        """Put the tools into the model's hands."""
        self.use = ToolUse(self.chat_model, self.settings, self.library, self.tools, self.router, self.serving)

    def support_judge(self) -> Judge | None:
        """What judges whether a passage supports a sentence, where a model does."""
        return self.judge() if self.judge else None

    def passage_reader(self) -> Reader | None:
        """What points at the words that answer; a model that can call tools by itself needs none."""
        if self.reader is None or strategy_for(self.chat_model, self.settings.strategy) == LOOP:
            return None
        return self.reader()


def reply(parts: Parts, request: Request, cancel: threading.Event) -> Iterator[Event]:
    """The events of one answer, the last one Answered; what cannot be answered raises."""
    return traced(_reply(parts, request, cancel), request.question, parts.settings)


def _reply(parts: Parts, request: Request, cancel: threading.Event) -> Iterator[Event]:
    clock = Clock()
    if not any(character.isalnum() for character in request.question):
        yield Answered(Answer("Type a question or a request, and I will answer it."))
        return
    _refuse_too_long(parts.chat_model, request.question)
    if request.over != scope.AUTO and request.tool == AUTO:  # the person says how the documents are to be read
        request = replace(request, tool=ANSWER)
    collections = searched(parts.library, request, parts.settings.collection)
    records = parts.library.documents(collections)
    if request.documents is not None:
        records = chosen(records, request.documents)
    yield from Reply(parts, request, collections, records, clock, cancel).events()


def _refuse_too_long(model: BaseChatModel, question: str) -> None:
    limit = answering.prompt_limit(model)
    if len(question) > limit * _CHARACTERS_PER_TOKEN:
        raise PromptTooLong(len(question) // _CHARACTERS_PER_TOKEN, limit, at_least=True)
    count = model.get_num_tokens(question)
    if count > limit:
        raise PromptTooLong(count, limit)


@dataclass(frozen=True)
class Reply:
    """One question on its way to an answer; `records` are the documents that may answer, of these `collections`."""

    parts: Parts
    request: Request
    collections: Sequence[str]
    records: Sequence[DocumentRecord]
    clock: Clock
    cancel: threading.Event

    def events(self) -> Iterator[Event]:
        """The answer by the way that the question needs."""
        use = self.parts.use
        if use.loops(self.request):
            yield from self._by_loop()
            return
        turns = self.parts.memory.turns(self.request.thread)
        asked = Asked(self.request.question, self.records, turns[-1].answer if turns else None)
        tool, plan = use.choose(asked, self.request)
        self.clock.route_ms = self.clock.now_ms()
        if tool is None:
            yield from self._chat()
        elif tool in FROM_LIBRARY:
            yield from self._from_documents()
        else:
            plan = plan or use.plan(tool, asked, self.cancel, self.request.arguments)
            answer, go_on = yield from use.carry_out(tool, plan, self.clock, self.cancel)
            if go_on and self.request.tool == AUTO:
                yield from self._without_tool(answer)
            else:
                yield from self._remembered(iter([Answered(answer)]))

    def _by_loop(self) -> Iterator[Event]:
        def ask_library(question: str, left: threading.Event) -> Iterator[Event]:
            alone = replace(self.request, question=question, thread=None)
            yield from replace(self, request=alone, clock=Clock(), cancel=left)._from_documents()

        model, use = self.parts.chat_model, self.parts.use
        room = answering.prompt_limit(model) // 2
        history = self.parts.memory.messages(self.request.thread, room, model.get_num_tokens)
        answer = yield from use.loop(self.request, self.records, history, ask_library, self.clock, self.cancel)
        yield from self._remembered(iter([Answered(answer)]))

    def _without_tool(self, failed: Answer) -> Iterator[Event]:
        """A plain reply after the words that say which tool did not work; the time it took is not the model's."""
        yield Token(f"{failed.text}\n\n")
        later = replace(self, clock=replace(self.clock, started=time.perf_counter(), first_token_ms=None))
        for event in later._chat():
            if isinstance(event, Answered):
                event = Answered(replace(event.answer, text=f"{failed.text}\n\n{event.answer.text}"))
            yield event

    def _from_documents(self) -> Iterator[Event]:
        turns, model = self.parts.memory.turns(self.request.thread), self.parts.chat_model
        standing = self_standing(self.request.question, turns, model, self.cancel).question
        if scope.reach(self.request.over, standing, len(self.records)) == scope.ALL:
            crossing = self._crossing(standing)
            surveyor = Surveyor(model, self.parts.library, self.parts.settings)
            events = surveyor.survey(crossing.question if crossing else standing, self.records, self.clock, self.cancel)
        else:
            passages = yield from self._searched(standing)
            crossing, question = self._crossing(standing, passages), standing
            if crossing and crossing.question != question:
                question = crossing.question
                passages = yield from self._searched(question)
            events = answering.still_there(self._from_passages(question, passages), self.parts.library)
        yield from self._remembered(events, crossing, standing)

    def _from_passages(self, question: str, passages: Sequence[Document]) -> Iterator[Event]:
        model, settings = self.parts.chat_model, self.parts.settings
        if self._relevance(passages) < settings.relevance_floor:
            return iter([answering.not_in_documents(question, model, len(self.records), self.clock)])
        paths = {record.document_id: record.path for record in self.records}
        sources = [
            answering.source_of(number, passage, paths.get(passage.metadata["document_id"]))
            for number, passage in enumerate(passages, start=1)
        ]
        return answering.answer_from(
            *(model, question, passages, sources, settings, self.clock, self.cancel),
            judge=self.parts.support_judge(),
            reader=self.parts.passage_reader(),
        )

    def _searched(self, question: str) -> Generator[Event, None, list[Document]]:
        """The passages for a question, or for its topic alone where the whole of it finds nothing.

        The words around a topic, as in `what does the handbook say about it`, stand in no passage.
        """
        passages = yield from self._search(question)
        topic = scope.topic(question)
        if self._relevance(passages) >= self.parts.settings.relevance_floor or topic == question.strip(" ?.!,:;"):
            return passages
        closer = yield from self._search(topic)
        return max(passages, closer, key=self._relevance)

    def _search(self, question: str) -> Generator[Event, None, list[Document]]:
        passages: list[Document] = []
        only = None if self.request.documents is None else self.records
        library, settings = self.parts.library, self.parts.settings
        for item in answering.search(library, question, self.collections, settings, self.clock, only):
            if isinstance(item, list):
                passages = item
            else:
                yield item
        return passages

    def _relevance(self, passages: Sequence[Document]) -> float:
        return relevance(passages, sum(record.chunks for record in self.records))

    def _crossing(self, question: str, passages: Sequence[Document] = ()) -> Crossing | None:
        """The way to an answer in the question's language, where the chat model does not know it."""
        return self.parts.languages.crossing(question, passages) if self.parts.languages else None

    def _chat(self) -> Iterator[Event]:
        model, memory, thread = self.parts.talker or self.parts.chat_model, self.parts.memory, self.request.thread
        limit, count = answering.prompt_limit(model), model.get_num_tokens
        room = (limit - count(self.request.question)) // 2
        history = memory.messages(thread, room, count)
        earlier = fold(memory, thread, model, budget_tokens=room, prompt_tokens=limit // 2, cancel=self.cancel)
        crossing = self._crossing(self.request.question)
        draft = Draft()
        messages = chat_messages(crossing.question if crossing else self.request.question, history, earlier.text)
        yield from answering.generate(
            model, messages, self.parts.settings, self.clock, draft, cancel=self.cancel, copies_source=False
        )
        answer = answering.drafted(draft.text.strip(), model, self.clock, draft)
        yield from self._remembered(iter([Answered(answer)]), crossing)

    def _remembered(
        self, events: Iterator[Event], crossing: Crossing | None = None, standing: str | None = None
    ) -> Iterator[Event]:
        """The events, brought back into the question's language; the answer is kept with the thread."""
        memory, request = self.parts.memory, self.request
        for event in crossing.back(events) if crossing else events:
            if isinstance(event, Answered):
                try:
                    said = request.question, event.answer.text
                    memory.add(request.thread, *said, standing=standing, message=request.message)
                except ThreadsUnreadable as error:  # a full disk shall not take away the answer that is there
                    _LOG.warning("the turn is not kept: %s", error)
            yield event
