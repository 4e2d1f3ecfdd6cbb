"""One answer drawn on the page as its events come in: tools as steps, text as it is written, sources as buttons.

Everything a model, a tool or a document says passes through `chat.inert` before it is sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Unpack, cast

import chainlit as cl
from chainlit.context import context
from chainlit.utils import utc_now

from agent.events import (
    Answer,
    Answered,
    Event,
    Failed,
    Progress,
    Proposed,
    SourcesFound,
    Token,
    ToolFinished,
    ToolStarted,
)
from chat import answers, proposing
from chat.backstage import AssistantLike
from chat.inert import InertStream, code, inert, plain
from chat.probabilities import as_table
from chat.turns import REPLACED

if TYPE_CHECKING:
    from agent.request import Options

_STOPPED = "*Stopped.*"
_CUT_OFF = "*The answer was cut off at its length limit.*"
_UNSUPPORTED = "*The sources do not clearly support this answer: read them before relying on it.*"
_LEFT_OUT = "*Left out, as no passage supports it:* {sentences}"
_MOST_LEFT_OUT = 5
_LONGEST_TOOL_TEXT = 4000
# The page lays out the whole message again for every piece it gets: more often than this, and Stop reacts late.
_SECONDS_BETWEEN_PIECES = 0.04
_SECONDS_BETWEEN_PROGRESS = 0.2
_ICONS = {
    "search": "search",
    "answer": "search",
    "list_documents": "files",
    "classify": "tags",
    "translate": "languages",
    "summarize": "scroll-text",
    "extract": "quote",
    "entities": "users",
    "compare": "diff",
}


async def draw_answer(assistant: AssistantLike, question: str, **options: Unpack[Options]) -> tuple[str, Answer] | None:
    """Ask, with the assistant's options, and draw what comes; the answer with its message's id, None where none came.

    A stopped task leaves the partial answer on the page, marked as stopped; one that was replaced takes it away.
    """
    drawing = Drawing(assistant)
    try:
        answering = cast("AsyncGenerator[Event]", assistant.astream(question, **options))
        async with aclosing(answering) as events:
            async for event in events:
                await drawing.draw(event)
    except asyncio.CancelledError as reason:
        # Shielded, so that a second Stop does not keep the mark off the page.
        await asyncio.shield(drawing.withdraw() if REPLACED in reason.args else drawing.stop())
        raise
    return drawing.drawn


class Drawing:
    """The message and the steps of one answer of an assistant."""

    def __init__(self, assistant: AssistantLike) -> None:
        self._assistant = assistant
        self._message: cl.Message | None = None
        self._stream = InertStream()
        self._steps: dict[str, cl.Step] = {}
        self._drawn_steps: list[cl.Step] = []
        self._cards: list[cl.Message] = []
        self._unsent = ""
        self._sent_at = 0.0
        self._progress_at = 0.0
        self.drawn: tuple[str, Answer] | None = None

    async def draw(self, event: Event) -> None:
        """Show one event."""
        match event:
            case ToolStarted():
                await self._start_tool(event)
            case ToolFinished():
                await self._finish_tool(event)
            case Progress():
                await self._progress(event)
            case Proposed():
                self._cards.append(await proposing.offer(event, self._assistant))
            case SourcesFound():
                self._stream = InertStream([source.number for source in event.sources])
            case Token():
                await self._write(event.text)
            case Answered():
                await self._finish(event.answer)
            case Failed():
                await self._fail(event)

    async def stop(self) -> None:
        """Mark what was written so far as stopped, and every tool that still ran."""
        for step in self._steps.values():
            step.end, step.output = utc_now(), "Stopped."
            await step.update()
        message = self._text_message()
        message.content = "\n\n".join(filter(None, [self._written(), _STOPPED]))
        await message.send()

    async def withdraw(self) -> None:
        """Take the answer off the page: the question was edited (Q09)."""
        for step in self._drawn_steps:
            await step.remove()
        for card in self._cards:
            await card.remove()
        if self._message is not None:
            await self._message.remove()

    def _text_message(self) -> cl.Message:
        if self._message is None:
            self._message = cl.Message(content="")
        return self._message

    async def _write(self, text: str) -> None:
        self._unsent += self._stream.feed(text)
        now = time.monotonic()
        if self._unsent and now - self._sent_at >= _SECONDS_BETWEEN_PIECES:
            piece, self._unsent, self._sent_at = self._unsent, "", now
            await self._text_message().stream_token(piece)

    def _written(self) -> str:
        """What was written so far, with all that was held back."""
        return (self._text_message().content + self._unsent + self._stream.close()).rstrip()

    async def _finish(self, answer: Answer) -> None:
        is_the_cards = isinstance(answer.data, dict) and "proposal" in answer.data
        if self._cards and is_the_cards and self._message is None:
            return  # the answer's words are those of the card
        message = self._text_message()
        notes = [_CUT_OFF] if answer.cut_off else []
        if answer.supported is False and not answer.abstained:
            notes.append(_UNSUPPORTED)
        if answer.removed:
            struck = " ".join(f"~~{plain(' '.join(one.split()))}~~" for one in answer.removed[:_MOST_LEFT_OUT])
            notes.append(_LEFT_OUT.format(sentences=struck))
        if answer.model:
            notes.append(f"*{plain(answer.model)}*")
        text = as_table(answer) or inert(answer.text, [source.number for source in answer.sources]).strip()
        message.content = "\n\n".join(filter(None, [text, *notes]))
        message.actions = await answers.keep(message.id, answer)
        await message.send()
        self.drawn = message.id, answer

    async def _fail(self, failure: Failed) -> None:
        message = self._text_message()
        message.is_error = True
        sentence = f"{plain(failure.message)} ({code(failure.code)})"
        message.content = "\n\n".join(filter(None, [self._written(), sentence]))
        await message.send()

    async def _start_tool(self, event: ToolStarted) -> None:
        parent = context.current_step
        step = cl.Step(
            name=event.name,
            type="tool",
            parent_id=parent.id if parent else None,
            icon=_ICONS.get(event.name, "wrench"),
            show_input=True,
        )
        step.start = utc_now()
        step.input = tool_input(event.input)
        self._steps[event.id] = step
        self._drawn_steps.append(step)
        await step.send()

    async def _progress(self, event: Progress) -> None:
        """How far the running tool is, in its step's own line."""
        step = next(reversed(self._steps.values()), None)
        now = time.monotonic()
        if step is None or now - self._progress_at < _SECONDS_BETWEEN_PROGRESS:
            return
        self._progress_at = now
        step.name = f"{step.name.partition(' · ')[0]} · {event.done} of {event.total}, {shortened(event.what)}"
        await step.update()

    async def _finish_tool(self, event: ToolFinished) -> None:
        step = self._steps.pop(event.id, None)
        if step is None:
            return
        step.name = f"{event.name} · {event.milliseconds:.0f} ms"
        step.is_error = event.error is not None
        step.output = shortened(event.error or event.output)
        step.end = utc_now()
        await step.update()


def tool_input(values: dict[str, Any]) -> str:
    """A tool's arguments as one line each."""
    return "\n".join(f"{plain(name)}: {shortened(_words(value))}" for name, value in values.items())


def shortened(text: str) -> str:
    """A tool's text as it is, at most a few thousand characters of it."""
    cut = text[:_LONGEST_TOOL_TEXT]
    return plain(cut) + ("…" if len(text) > len(cut) else "")


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
