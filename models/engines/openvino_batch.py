"""Many answers at once on one paged model: a thread reads prompts in pieces and adds a token to each answer a step.

Requests join and leave between steps, so a new one waits for one step and a cancelled one is gone within one.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.engines.base import GenerationOptions
from models.engines.lora import Lora
from models.engines.openvino_cache import BlockPool
from models.engines.openvino_paged import BLOCK_TOKENS, PagedModel, Row
from models.engines.sampling import MOST_GUESSES, Picker, PromptLookup
from models.errors import PromptTooLong

_LARGEST_PIECE, _SMALLEST_PIECE = 1024, 128  # tokens of prompts in one step
_PIECE_WORK = 160 * 1024**2 * 1024  # weight bytes times tokens: about a quarter of a second on two cores with AMX
_GUESSERS = 2  # with more answers at once the hardware is busy, and checking guesses costs what it saves
END = object()

_Result = TypeVar("_Result")
_Logits = npt.NDArray[np.float32]


class Request:
    """One answer being made; `out` gets its ids, then END or the exception that ended it."""

    def __init__(
        self, prompt_ids: Sequence[int], options: GenerationOptions, cancel: threading.Event, adapter: int = 0
    ) -> None:
        self.adapter = adapter
        self.ids = list(prompt_ids)  # the prompt and the answer so far
        self.options = options
        self.out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.left = threading.Event()  # the reader has gone
        self.cancel = cancel
        self.made = 0
        self.cached = 0  # of `ids`, in the cache
        self.blocks: list[int] = []
        self.pick = Picker(options)
        plain = options.temperature <= 0 and options.logits_processor is None
        self.lookup = PromptLookup(prompt_ids) if options.prompt_lookup and plain else None

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the answer."""
        return not (self.cancel.is_set() or self.left.is_set())


class Batcher:
    """Owns one paged model and the thread that runs it; requests may come from any thread."""

    def __init__(self, model: PagedModel, *, most_at_once: int) -> None:
        self._model = model
        self._pool = BlockPool(model.blocks, BLOCK_TOKENS)
        self._most = most_at_once
        # a Stop, and other users' next tokens, wait for one piece of a prompt at most
        piece = min(_LARGEST_PIECE, max(_SMALLEST_PIECE, _PIECE_WORK // model.weight_bytes))
        self._piece_tokens = piece // BLOCK_TOKENS * BLOCK_TOKENS
        self._inbox: queue.SimpleQueue[Request | Callable[[], object] | None] = queue.SimpleQueue()
        # these belong to the thread alone
        self._adapters: dict[int, Lora] = {}
        self._next_adapter = 1
        self._waiting: deque[Request] = deque()
        self._active: list[Request] = []  # oldest first
        self._thread = threading.Thread(target=self._work, name="hearth-openvino", daemon=True)
        self._thread.start()

    @property
    def window(self) -> int:
        """Most tokens of one prompt with its answer."""
        return self._pool.blocks * BLOCK_TOKENS

    def submit(self, request: Request) -> None:
        """Queues a request.

        Raises:
            PromptTooLong: the whole cache could not hold the prompt and one more token.
        """
        if len(request.ids) >= self.window:
            raise PromptTooLong(len(request.ids), self.window - 1)
        self._inbox.put(request)

    def logits(self, ids: Sequence[int], adapter: int = 0) -> _Logits:
        """The logits after each of `ids`, shape (length, vocabulary), computed between other requests' steps.

        Raises:
            PromptTooLong: more blocks are needed than are free.
        """
        return self._between_steps(lambda: self._logits(ids, adapter))

    def add_adapter(self, layers: Lora) -> int:
        """Takes an adapter in and gives the number that its requests bear; never one that another had.

        Raises:
            AdapterMismatch: it does not fit the model.
        """

        def add() -> int:
            number = self._next_adapter
            self._model.set_adapters(self._adapters | {number: layers})
            self._adapters[number] = layers
            self._next_adapter += 1
            return number

        return self._between_steps(add)

    def drop_adapter(self, number: int) -> None:
        """Lets an adapter go that has no requests any more; the room it took is given back with the next change."""
        self._inbox.put(lambda: self._adapters.pop(number, None))

    def _between_steps(self, work: Callable[[], _Result]) -> _Result:
        done: Future[_Result] = Future()

        def job() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # belongs to the caller, as itself
                done.set_exception(error)

        self._inbox.put(job)
        return done.result()

    def close(self) -> None:
        """Ends every answer and the thread."""
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:  # the collector runs finalizers in any thread
            self._thread.join()

    def _work(self) -> None:
        while True:
            idle = not (self._waiting or self._active)
            while idle or not self._inbox.empty():
                message = self._inbox.get()
                if message is None:
                    for request in (*self._active, *self._waiting):
                        self._finish(request)
                    return
                if isinstance(message, Request):
                    self._waiting.append(message)
                else:
                    message()
                idle = False
            try:
                self._step()
            except BaseException as error:  # every failure belongs to the readers, as itself
                self._fail(error)

    def _logits(self, ids: Sequence[int], adapter: int) -> _Logits:
        needed = self._pool.blocks_for(len(ids))
        blocks = self._pool.take(needed)
        if not blocks:
            raise PromptTooLong(len(ids), self._pool.free * BLOCK_TOKENS)
        try:
            return self._model.run([Row(ids, 0, blocks, len(ids), adapter)]).copy()
        finally:
            self._pool.release(blocks)

    def _step(self) -> None:
        for request in [request for request in (*self._active, *self._waiting) if not request.wanted]:
            self._finish(request)
        self._admit()
        self._grow()
        rows = self._rows()
        if not rows:
            return
        logits = self._model.run([row for _, row, _ in rows])
        start = 0
        for request, row, guessed in rows:
            self._advance(request, row, guessed, logits[start : start + row.wanted])
            start += row.wanted

    def _admit(self) -> None:
        while self._waiting and len(self._active) < self._most:
            request = self._waiting[0]
            blocks = self._pool.match(request.ids, request.adapter)
            more = self._pool.blocks_for(len(request.ids) + 1) - len(blocks)
            taken = self._pool.take(more)
            if len(taken) < more:
                self._pool.release(blocks)
                return
            request.blocks = blocks + taken
            request.cached = len(blocks) * BLOCK_TOKENS
            self._active.append(self._waiting.popleft())

    def _grow(self) -> None:
        """Sees that each answer has room for its next token; the youngest waits again where there is none."""
        for request in list(self._active):
            if request.lookup is not None:  # guesses want room, too, but can do without
                wanted = self._pool.blocks_for(len(request.ids) + 1 + MOST_GUESSES) - len(request.blocks)
                request.blocks += self._pool.take(max(0, wanted))
            while request in self._active and self._pool.blocks_for(len(request.ids) + 1) > len(request.blocks):
                if taken := self._pool.take(1):
                    request.blocks += taken
                elif len(self._active) == 1:
                    self._finish(request)  # it fills the whole cache: cut off by length
                else:
                    self._send_back(self._active[-1])

    def _send_back(self, request: Request) -> None:
        self._active.remove(request)
        self._pool.learn(request.ids[: request.cached], request.blocks, request.adapter)
        self._pool.release(request.blocks)
        request.blocks, request.cached = [], 0
        self._waiting.appendleft(request)

    def _rows(self) -> list[tuple[Request, Row, list[int]]]:
        rows = []
        room = self._piece_tokens
        for request in self._active:
            missing = len(request.ids) - request.cached
            guessed: list[int] = []
            if missing == 1 and request.lookup is not None and len(self._active) <= _GUESSERS:
                guessed = request.lookup.guess(request.ids, self._most_guesses(request))
            count = min(self._piece(request), room) if missing > 1 else 1
            if not count:
                continue
            room -= count if missing > 1 else 0
            ids = [*request.ids[request.cached : request.cached + count], *guessed]
            wanted = 1 + len(guessed) if count == missing else 0
            rows.append((request, Row(ids, request.cached, request.blocks, wanted, request.adapter), guessed))
        return rows

    def _piece(self, request: Request) -> int:
        """Ids of the prompt to read next: whole blocks first, then the rest in a step of its own.

        So a prompt asked again, with its whole blocks remembered, takes the same last step and gives the same answer.
        """
        whole = (len(request.ids) - 1) // BLOCK_TOKENS * BLOCK_TOKENS
        return whole - request.cached if request.cached < whole else len(request.ids) - request.cached

    def _most_guesses(self, request: Request) -> int:
        in_blocks = len(request.blocks) * BLOCK_TOKENS - len(request.ids)
        return max(0, min(in_blocks, request.options.max_new_tokens - request.made - 1))

    def _advance(self, request: Request, row: Row, guessed: Sequence[int], logits: _Logits) -> None:
        """Takes a step's result into an answer: the next id, and those guessed ids that the model would have chosen."""
        request.cached += len(row.ids) - len(guessed)
        if not row.wanted:
            return
        if not request.made:
            self._pool.learn(request.ids[: request.cached], request.blocks, request.adapter)
        right = 0
        try:
            for place in range(row.wanted):
                token = request.pick(logits[place], request.ids)
                if not self._deliver(request, token):
                    return
                if place == len(guessed) or token != guessed[place]:
                    break
                right += 1
                request.cached += 1
        except Exception as error:  # a logits processor's failure is its own request's alone
            self._finish(request, error)
            return
        if request.lookup is not None and guessed:
            request.lookup.learn(len(guessed), right)

    def _deliver(self, request: Request, token: int) -> bool:
        """Hands an id to the reader; False when the answer has ended."""
        if token in request.options.stop_token_ids:
            self._finish(request)
            return False
        request.ids.append(token)
        request.made += 1
        request.out.put(token)
        if request.made >= request.options.max_new_tokens:
            self._finish(request)
            return False
        return True

    def _finish(self, request: Request, ending: object = END) -> None:
        if request in self._active:
            self._active.remove(request)
        else:
            self._waiting.remove(request)
        self._pool.learn(request.ids[: request.cached], request.blocks, request.adapter)
        self._pool.release(request.blocks)
        request.blocks = []
        request.out.put(ending)

    def _fail(self, error: BaseException) -> None:
        for request in (*self._active, *self._waiting):
            request.out.put(error)
        self._active.clear()
        self._waiting.clear()
        self._pool.clear()
