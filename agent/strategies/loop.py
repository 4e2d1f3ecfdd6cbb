"""The chat model calls the tools itself, turn after turn, within limits on calls, tokens and time.

LangChain's agent keeps the loop; here are its limits, the events of every step, and the check of what it says in the
end. Questions to the library take the assistant's own way, so that citations and abstention hold in a loop, too.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool

from agent import grounding
from agent.answering import Clock, model_name
from agent.events import Answer, Answered, Event, Source, Token
from agent.planning import Step
from agent.settings import Settings
from agent.strategies.steps import note, sources_of
from agent.toolbox import Outcome, Toolbox
from models.generation import EitherEvent
from models.prompts import tool_loop_prompt
from retrieval.records import DocumentRecord

LIBRARY_TOOL = "answer"
_LEFT_OUT = ("search",)  # `answer` searches, and checks what is said
_DOCUMENTS = ("document", "first_document", "second_document")
_LOOK_SECONDS = 0.1

AskLibrary = Callable[[str, threading.Event], Iterator[Event]]
"""Answers a question from the documents that may be used: events, the last one Answered."""


class _LimitReached(Exception):
    """Ends the loop; the message says which limit."""


@dataclass
class Loop:
    """One answer of the loop.

    Args:
        model: who calls the tools.
        toolbox: what may be called.
        settings: the limits.
        records: the documents that this question may use.
        ask_library: the assistant's own way to an answer from documents.
    """

    model: BaseChatModel
    toolbox: Toolbox
    settings: Settings
    records: Sequence[DocumentRecord]
    ask_library: AskLibrary
    _done: list[tuple[Step, Outcome]] = field(default_factory=list)
    _news: queue.SimpleQueue[Event | None] = field(default_factory=queue.SimpleQueue)
    _written: list[BaseMessage] = field(default_factory=list)
    _ended_by: str = ""
    _trouble: BaseException | None = None

    def run(
        self, question: str, history: Sequence[BaseMessage], clock: Clock, cancel: threading.Event
    ) -> Generator[Event, None, Answer]:
        """The events of the loop; gives the answer. Closing the generator ends the model's work."""
        left = EitherEvent(cancel)
        worker = threading.Thread(target=self._work, args=(question, history, left), name="hearth-loop", daemon=True)
        worker.start()
        deadline = time.monotonic() + self.settings.answer_timeout_seconds
        try:
            while (event := self._next(deadline, cancel)) is not None:
                if isinstance(event, Token) and clock.first_token_ms is None:
                    clock.first_token_ms = clock.now_ms()
                yield event
        finally:
            left.set()
        if self._trouble is not None:
            raise self._trouble
        return self._answer(question, clock)

    def _next(self, deadline: float, cancel: threading.Event) -> Event | None:
        while True:
            try:
                return self._news.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if cancel.is_set():
                    self._ended_by = "The answer was stopped."
                    return None
                if time.monotonic() > deadline:
                    self._ended_by = f"The answer was ended after {self.settings.answer_timeout_seconds:g} seconds."
                    return None

    def _work(self, question: str, history: Sequence[BaseMessage], left: threading.Event) -> None:
        limits: list[Any] = [
            ModelCallLimitMiddleware(run_limit=self.settings.loop_model_calls, exit_behavior="error"),
            ToolCallLimitMiddleware(run_limit=self.settings.loop_tool_calls, exit_behavior="continue"),
        ]
        offered = [tool for name, tool in self.toolbox.tools.items() if name not in _LEFT_OUT]
        agent = create_agent(
            self.model,
            offered,
            system_prompt=tool_loop_prompt(),
            middleware=[*limits, _Watch(self, left)],
        )
        try:
            given: Any = {"messages": [*history, HumanMessage(question)]}
            for mode, part in agent.stream(given, stream_mode=["messages", "values"]):
                if left.is_set():
                    break
                self._hear(mode, part, len(history) + 1)
        except (ModelCallLimitExceededError, _LimitReached) as limit:
            calls = f"after {self.settings.loop_model_calls} calls of the model"
            reason = calls if isinstance(limit, ModelCallLimitExceededError) else str(limit)
            self._ended_by = f"The answer was ended {reason}."
        except BaseException as error:
            self._trouble = error  # reaches the reader as itself
        finally:
            self._news.put(None)

    def _hear(self, mode: str, part: Any, given: int) -> None:
        if mode == "values":
            self._written = list(part["messages"])[given:]
        elif isinstance(part[0], AIMessageChunk) and (text := str(part[0].text)):
            self._news.put(Token(text))

    def tokens(self) -> int:
        """What was read and written so far."""
        return sum(sum(_usage(message)) for message in self._written)

    def call(self, name: str, arguments: dict[str, Any], tool: BaseTool | None, left: threading.Event) -> Outcome:
        """One call of a tool: as a proposal where it has an effect, and not twice where it was made before."""
        if tool is None:
            return Outcome(error=f"there is no tool {name}; there are: {', '.join(self.toolbox.tools)}")
        step = Step(name, arguments)
        for earlier, outcome in self._done:
            if (earlier.tool, _key(earlier.arguments)) == (name, _key(arguments)):
                return outcome
        if self.toolbox.has_effect(name):
            self._news.put(self.toolbox.proposals.add(name, arguments))
            return Outcome("Proposed to the person; it is not done, and will be only when they confirm it.")
        if problem := self._out_of_bounds(arguments):
            return Outcome(error=problem)
        found = self._from_library(arguments, left) if name == LIBRARY_TOOL else self._from_tool(step, left)
        self._done.append((step, found))
        return found

    def _from_tool(self, step: Step, left: threading.Event) -> Outcome:
        known = {record.document: record.document_id for record in self.records}
        arguments = {n: known.get(v, v) if n in _DOCUMENTS else v for n, v in step.arguments.items()}
        calling = self.toolbox.call(Step(step.tool, arguments), "", left)
        while True:
            try:
                self._news.put(next(calling))
            except StopIteration as stop:
                found: Outcome = stop.value
                return found

    def _from_library(self, arguments: dict[str, Any], left: threading.Event) -> Outcome:
        for event in self.ask_library(str(arguments.get("question", "")), left):
            if isinstance(event, Answered):
                return Outcome(event.answer.text, event.answer.to_json())
            if not isinstance(event, Token):  # its words are not yet the answer's
                self._news.put(event)
        return Outcome(error="it was stopped", stopped=True)

    def _out_of_bounds(self, arguments: dict[str, Any]) -> str | None:
        """Which document was named that this question may not use."""
        allowed = {name for record in self.records for name in (record.document, record.document_id)}
        for name in _DOCUMENTS:
            if arguments.get(name) and arguments[name] not in allowed:
                return f"{arguments[name]} is not among the documents: {', '.join(sorted(allowed)[:20]) or 'none'}"
        return None

    def _answer(self, question: str, clock: Clock) -> Answer:
        said = [message for message in self._written if isinstance(message, AIMessage)]
        usage = [_usage(message) for message in said]
        text = str(said[-1].text).strip() if said and not said[-1].tool_calls else ""
        given = [(step, outcome) for step, outcome in self._done if not outcome.error]
        sources, supported = sources_of(given), None
        if given and all(step.tool == LIBRARY_TOOL for step, _ in given):
            text, sources = self._checked(text, question, sources)
            supported = True if sources else None
        elif given:  # marks of its own would point at sources that it never saw by these numbers
            text = grounding.strip_citations(text)
        notes = [note(step, outcome) for step, outcome in self._done if outcome.error]
        notes += [self._ended_by] if self._ended_by else []
        last = given[-1] if given else None
        if not text and last:
            text = last[1].text
        return Answer(
            "\n\n".join(filter(None, [text, *notes])),
            sources=sources,
            supported=supported,
            abstained=bool(last and isinstance(last[1].data, dict) and last[1].data.get("abstained") and not sources),
            tool=last[0].tool if last else None,
            model=model_name(self.model),
            timings=clock.timings(),
            prompt_tokens=sum(prompt for prompt, _ in usage),
            new_tokens=sum(new for _, new in usage),
            cut_off=bool(self._ended_by),
            data=last[1].data if last and last[0].tool != LIBRARY_TOOL else None,
        )

    def _checked(self, text: str, question: str, sources: Sequence[Source]) -> tuple[str, tuple[Source, ...]]:
        """What rests on documents alone: the checked answer, or the model's words held against the quotes of several.

        Where the documents are silent the model's words are made up, so that the answer says only that they are.
        """
        answered = [outcome for _, outcome in self._done if not outcome.error]
        answers = [outcome for outcome in answered if outcome.data and outcome.data.get("sources")]
        if not answers:
            return answered[-1].text, ()
        if len(answers) > 1:
            quotes = [source.quote for source in sources]
            grounded = grounding.ground(text, question, sources, quotes, self.settings.support_floor)
            if grounded.sources:
                return grounded.text, grounded.sources
        return answers[0].text, sources_of([(Step(LIBRARY_TOOL), answers[0])])


class _Watch(AgentMiddleware[Any, Any]):
    """Hands the calls of one loop to it, and ends it when its tokens are spent or its reader has gone."""

    def __init__(self, loop: Loop, left: threading.Event) -> None:
        super().__init__()
        self._loop = loop
        self._left = left

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """A turn of the model, which the reader can end."""
        if (spent := self._loop.tokens()) >= self._loop.settings.loop_tokens:
            raise _LimitReached(f"after {spent} tokens")
        return handler(request.override(model_settings={**request.model_settings, "cancel": self._left}))

    def wrap_tool_call(self, request: Any, handler: Callable[[Any], Any]) -> ToolMessage:
        """A call of a tool, by way of the toolbox."""
        call = request.tool_call
        found = self._loop.call(call["name"], dict(call["args"]), request.tool, self._left)
        status: Any = "error" if found.error else "success"
        return ToolMessage(found.error or found.text, tool_call_id=call["id"], name=call["name"], status=status)


def _usage(message: BaseMessage) -> tuple[int, int]:
    usage = message.usage_metadata if isinstance(message, AIMessage) else None
    return (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)


def _key(arguments: Any) -> str:
    return json.dumps(arguments, sort_keys=True, default=str)
