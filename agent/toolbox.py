"""The tools that an assistant may call, and a call of one: within its time, told as events, its failure in words.

A tool whose metadata says `effect` is never called here without a person's word: it becomes a proposal.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool

from agent.arguments import DocumentId, DocumentText
from agent.events import Event, ToolFinished, ToolStarted
from agent.planning import Previous, Step
from agent.progress import Abandoned, told
from agent.proposals import Proposals
from agent.request import AnyLibrary
from agent.tools import NAMES

EFFECT = "effect"
"""The key of a tool's metadata that says that calling it changes something; Hearth's own tools only read."""
_ERROR_CHARACTERS = 300

ToolSource = Callable[[AnyLibrary], Sequence[BaseTool]]
"""Gives the tools over a library."""


@dataclass(frozen=True)
class Outcome:
    """What a call gave: its text and data, or the sentence why not.

    `expected` errors are those that the tool itself named, with what to do; others are crashes and time limits.
    """

    text: str = ""
    data: Any = None
    error: str | None = None
    expected: bool = False
    stopped: bool = False

    @property
    def plain(self) -> str:
        """The text as another tool should read it, such as a summary without its page marks."""
        summary = self.data.get("summary") if isinstance(self.data, dict) else None
        return summary if isinstance(summary, str) else self.text


class Toolbox:
    """The tools of one assistant over its library, built at first use.

    Args:
        source: gives the tools; None has none.
        library: what they read.
        timeout_seconds: the longest that one call may take.
    """

    def __init__(self, source: ToolSource | None, library: AnyLibrary, timeout_seconds: float) -> None:
        self.source = source
        self.proposals = Proposals()
        self._library = library
        self._timeout_seconds = timeout_seconds
        self._tools: dict[str, BaseTool] | None = None
        self._lock = threading.Lock()

    @property
    def tools(self) -> Mapping[str, BaseTool]:
        """Every tool by its name."""
        with self._lock:
            if self._tools is None:
                self._tools = {tool.name: tool for tool in (self.source(self._library) if self.source else ())}
            return self._tools

    @property
    def descriptions(self) -> dict[str, str]:
        """What a router reads: every tool's description by its name, less `answer`, which `search` stands for."""
        return {name: tool.description for name, tool in self.tools.items() if name != "answer"}

    def is_own(self, name: str) -> bool:
        """Whether it is one of Hearth's own tools, whose arguments plain code can find."""
        return name in NAMES

    def has_effect(self, name: str) -> bool:
        """Whether a person has to confirm a call."""
        return bool((self.tools[name].metadata or {}).get(EFFECT))

    def call(self, step: Step, previous: str, cancel: threading.Event) -> Generator[Event, None, Outcome]:
        """One call as events; gives its outcome and raises nothing that the tool raised."""
        number, began = uuid.uuid4().hex, time.perf_counter()
        yield ToolStarted(number, step.tool, step.shown)
        outcome = yield from self._outcome(step, previous, cancel)
        milliseconds = (time.perf_counter() - began) * 1000
        yield ToolFinished(number, step.tool, outcome.error or outcome.text, milliseconds, outcome.error)
        return outcome

    def _outcome(self, step: Step, previous: str, cancel: threading.Event) -> Generator[Event, None, Outcome]:
        tool = self.tools[step.tool]

        def work() -> Outcome:
            arguments = {name: self._value(value, previous) for name, value in step.arguments.items()}
            return _read(tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments}))

        try:
            return (yield from told(work, timeout_seconds=self._timeout_seconds, cancel=cancel))
        except TimeoutError:
            return Outcome(error=f"it took longer than {self._timeout_seconds:g} seconds and was left")
        except Abandoned:
            return Outcome(error="it was stopped", stopped=True)
        except Exception as error:  # a tool is anyone's code: it can raise anything
            return Outcome(error=_one_line(f"{type(error).__name__}: {error}"))

    def _value(self, value: Any, previous: str) -> Any:
        if isinstance(value, DocumentText):
            return self._library.text(value.record.document_id)
        if isinstance(value, DocumentId):
            return value.record.document_id
        return previous if value is Previous.TEXT else value


def _read(message: Any) -> Outcome:
    if not isinstance(message, ToolMessage):
        return Outcome(str(message))
    text = str(message.text)
    if message.status == "error":
        return Outcome(error=_one_line(text), expected=True)
    return Outcome(text, message.artifact)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _ERROR_CHARACTERS else line[: _ERROR_CHARACTERS - 1] + "…"
