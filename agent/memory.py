"""What a thread remembers: its last turns, cut to the tokens that the model has room for.

Kept in the process for now; the least recently used threads are forgotten first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

_THREADS_KEPT = 200
_TURNS_KEPT = 20


class ThreadMemory:
    """The turns of many threads; safe to use from several threads of execution."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, deque[tuple[str, str]]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, thread: str | None, question: str, answer: str) -> None:
        """Remember one turn; a question without a thread is not kept."""
        if thread is None:
            return
        with self._lock:
            self._turns.setdefault(thread, deque(maxlen=_TURNS_KEPT)).append((question, answer))
            self._turns.move_to_end(thread)
            while len(self._turns) > _THREADS_KEPT:
                self._turns.popitem(last=False)

    def messages(self, thread: str | None, budget_tokens: int, count: Callable[[str], int]) -> list[BaseMessage]:
        """The most recent whole turns that fit the budget, oldest first.

        Args:
            thread: whose turns; None has none.
            budget_tokens: the tokens that all the turns together may take.
            count: the model's own token counter.
        """
        with self._lock:
            turns = list(self._turns.get(thread, ())) if thread is not None else []
        kept: list[BaseMessage] = []
        for question, answer in reversed(turns):
            budget_tokens -= count(question) + count(answer)
            if budget_tokens < 0:
                break
            kept[:0] = [HumanMessage(question), AIMessage(answer)]
        return kept
