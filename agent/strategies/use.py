"""The tools in an assistant's hands: which one a message needs, what came of it, and what a person confirmed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from agent.answering import Clock, model_name
from agent.arguments import Asked
from agent.events import Answer, Event
from agent.planning import Plan, Step, follow_up, plan
from agent.request import AnyLibrary, Request
from agent.routing import AUTO, Router, choose_tool
from agent.settings import Settings
from agent.strategies import LOOP, strategy_for
from agent.strategies.steps import Done, answer_of, carry_out
from agent.toolbox import Toolbox, ToolSource
from agent.tools import ROLES
from retrieval.records import DocumentRecord

RouterSource = Callable[[], Router | None]
"""Gives the learned router that serves, if one does."""


class Serving(Protocol):
    """Gives the label, such as `sentiment@2`, of the model that serves a role, or has learned certain labels."""

    def __call__(self, role: str, labels: Sequence[str] = (), /) -> str:
        """The label; empty where a rule does the work."""
        ...


class ToolUse:
    """The tools of one assistant with the model that fills in their arguments.

    Args:
        model: the chat model.
        settings: limits and the strategy.
        library: what the tools read.
        source: gives the tools over a library; None has none.
        router: gives who chooses among them; None goes by rule.
        serving: tells which models do the tools' work; None tells the chat model alone.
    """

    def __init__(
        self,
        model: BaseChatModel,
        settings: Settings,
        library: AnyLibrary,
        source: ToolSource | None,
        router: RouterSource | None,
        serving: Serving | None = None,
    ) -> None:
        self.toolbox = Toolbox(source, library, settings.tool_timeout_seconds)
        self.source, self.router, self.serving = source, router, serving
        self._model = model
        self._settings = settings

    def loops(self, request: Request) -> bool:
        """Whether the model itself is to call the tools."""
        wanted = strategy_for(self._model, request.strategy or self._settings.strategy)
        return wanted == LOOP and request.tool == AUTO and self.source is not None

    def choose(self, asked: Asked, request: Request) -> tuple[str | None, Plan | None]:
        """The tool for a message, and the plan where the message alone makes it.

        Raises:
            UnknownTool: the request names a tool that there is not.
        """
        if request.tool == AUTO and self.source and (again := follow_up(asked.message, asked.last_answer)):
            return again.steps[0].tool, again
        name = choose_tool(
            asked.message,
            wanted=request.tool,
            has_documents=bool(asked.records),
            tools=self.toolbox.descriptions,
            router=self.router() if self.router else None,
        )
        return name, None

    def plan(
        self, name: str, asked: Asked, cancel: threading.Event, arguments: Mapping[str, Any] | None = None
    ) -> Plan:
        """The steps for a message whose tool is known: one where its arguments are, else as `agent.planning.plan`."""
        if arguments is not None:
            return Plan((Step(name, arguments),))
        tool = self.toolbox.tools[name]
        return plan(tool, asked, self._model, cancel, own=self.toolbox.is_own(name))

    def carry_out(
        self, name: str, made: Plan, clock: Clock, cancel: threading.Event
    ) -> Generator[Event, None, tuple[Answer, bool]]:
        """The events of a plan; gives its answer, and whether to go on without the tool as nothing came of it."""
        if not made.steps:
            return Answer(made.question, tool=name, model=model_name(self._model), timings=clock.timings()), False
        done = yield from carry_out(made, self.toolbox, cancel)
        return answer_of(made, done, self._models_of(made), clock), done.go_on

    def _models_of(self, made: Plan) -> str:
        """The labels of the models that do the work of a plan's tools, each once."""
        labels: list[str] = []
        for step in made.steps:
            among = step.arguments.get("labels") or ()
            role = "zero-shot" if among else ROLES.get(step.tool)
            if role and self.serving:
                labels.append(self.serving(role, among))
        return ", ".join(dict.fromkeys(filter(None, labels))) or model_name(self._model)

    def loop(
        self,
        request: Request,
        records: Sequence[DocumentRecord],
        history: Sequence[BaseMessage],
        ask_library: Callable[[str, threading.Event], Iterator[Event]],
        clock: Clock,
        cancel: threading.Event,
    ) -> Generator[Event, None, Answer]:
        """The model's own loop; see `agent.strategies.loop`."""
        from agent.strategies.loop import Loop

        loop = Loop(self._model, self.toolbox, self._settings, records, ask_library)
        return (yield from loop.run(request.question, history, clock, cancel))

    def confirm(self, proposal: str) -> Answer:
        """Do what was proposed, once.

        Raises:
            UnknownProposal: nothing of that id waits.
        """
        proposed = self.toolbox.proposals.take(proposal)
        step, clock, done = Step(proposed.tool, proposed.arguments), Clock(), Done()
        calling = self.toolbox.call(step, "", threading.Event())
        while True:
            try:
                next(calling)
            except StopIteration as stop:
                done.add(step, stop.value)
                return answer_of(Plan((step,)), done, model_name(self._model), clock)
