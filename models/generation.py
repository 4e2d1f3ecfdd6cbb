"""One answer while it is made: its options, its text as it comes, and why it ended.

Queue, engine, detokenising, stop strings and grammars meet here; LangChain's classes stay in chat.py.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.outputs import ChatGenerationChunk

from models.engines.base import Engine, GenerationOptions
from models.errors import Cancelled
from models.loading import ChatForm
from models.scheduler import process_scheduler
from models.text import Detokenizer, StopTrimmer
from models.tool_calls import OPEN, Offer

if TYPE_CHECKING:
    from models.constrained import Constraint, GrammarProcessor


@dataclass(frozen=True)
class Call:
    """One call's options, the model's own where the call gave none."""

    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    stops: tuple[str, ...]
    prompt_lookup: bool
    user: str
    cancel: threading.Event
    offer: Offer
    form: Constraint | None
    tool_call_bias: float

    def processor(self, form: ChatForm, max_new_tokens: int) -> GrammarProcessor | None:
        """What holds the answer to a form asked for or to the calls of the tools offered; None where nothing does.

        `max_new_tokens` is what the window leaves room for.

        Where the model may choose, only one whose own template writes calls in our form is held to it, and one that
        begins calls too seldom is helped at the first token.
        """
        free = not self.offer.required
        written_so = OPEN in str(form.tokenizer.chat_template)
        constraint = self.form
        if constraint is None and (written_so or not free):
            constraint = self.offer.constraint(self.max_new_tokens)
        if constraint is None:
            return None
        bias = self.tool_call_bias if free and self.form is None else 0.0
        opening = form.tokenizer.encode(OPEN, add_special_tokens=False)[0]
        size, stops = form.vocabulary, form.stop_token_ids
        return constraint.processor(form.tokenizer, size, stops, max_new_tokens, (opening, bias))


class Answer:
    """One answer while it is made: iterate for its text; the counts and the reason it ended are right afterwards."""

    def __init__(self, form: ChatForm, engine: Engine, prompt: list[int], call: Call) -> None:
        self.prompt = prompt
        self.new_tokens = 0
        self.finish_reason = "stop"
        self._form = form
        self._engine = engine
        self._call = call
        self._most = min(call.max_new_tokens, form.window - len(prompt))

    def __iter__(self) -> Iterator[str]:
        detokenizer, trimmer = Detokenizer(self._form.tokenizer), StopTrimmer(self._call.stops)
        with closing(self._tokens()) as tokens:
            for token in tokens:
                self.new_tokens += 1
                if text := trimmer.feed(detokenizer.feed(token)):
                    yield text
                if trimmer.stopped:
                    return
        if text := trimmer.feed(detokenizer.flush()) + trimmer.flush():
            yield text
        if self._call.cancel.is_set():
            self.finish_reason = "cancelled"
        elif self.new_tokens >= self._most and not trimmer.stopped:
            self.finish_reason = "length"

    def _tokens(self) -> Generator[int, None, None]:
        call, form = self._call, self._form
        options = GenerationOptions(
            max_new_tokens=self._most,
            temperature=call.temperature,
            top_p=call.top_p,
            top_k=call.top_k,
            seed=call.seed,
            stop_token_ids=form.stop_token_ids,
            prompt_lookup=call.prompt_lookup,
            logits_processor=call.processor(form, self._most),
        )
        try:
            with process_scheduler().slot(call.user, call.cancel):
                yield from self._engine.stream(self.prompt, options, call.cancel)
        except Cancelled:
            return


class EitherEvent(threading.Event):
    """An event that is also set when another one is; it is looked at with `is_set`, never waited for."""

    def __init__(self, other: threading.Event | None) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        return super().is_set() or (self._other is not None and self._other.is_set())


async def in_thread(start: Callable[[], Iterator[ChatGenerationChunk]]) -> AsyncIterator[ChatGenerationChunk]:
    """Runs a blocking iterator in a thread of its own and gives its items on this event loop; errors as themselves."""
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[Any] = asyncio.Queue()
    end = object()

    def send(item: Any) -> None:
        try:
            loop.call_soon_threadsafe(items.put_nowait, item)
        except RuntimeError:  # the loop was closed: nobody reads any more
            return

    def work() -> None:
        try:
            for item in start():
                send(item)
        except BaseException as error:  # the reader gets it, as itself
            send(error)
        finally:
            send(end)

    threading.Thread(target=work, name="hearth-stream", daemon=True).start()
    while (item := await items.get()) is not end:
        if isinstance(item, BaseException):
            raise item
        yield item
