"""Folds the turns of a thread that no longer fit the window into a short running summary, kept with the thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from langchain_core.language_models import BaseChatModel

from agent.grounding import sentences, strip_citations
from agent.memory import Earlier, ThreadMemory, Turn, fitting
from agent.writing import invented, write
from models.prompts import thread_summary_messages

_WORDS = 60
_NEW_TOKENS = 160
_SECONDS = 30.0


def fold(
    memory: ThreadMemory,
    thread: str | None,
    model: BaseChatModel,
    *,
    budget_tokens: int,
    prompt_tokens: int,
    cancel: threading.Event | None = None,
) -> Earlier:
    """The summary of the turns that the budget has no room for, made anew where turns have fallen out since the last.

    As many turns are folded as leave the newest half of the budget, so that it is not made for every question. Where
    the model fails or makes something up, those turns are dropped, as they would be without a summary.

    Args:
        memory: where the thread and its summary are kept.
        thread: whose turns; None has none.
        model: who summarises.
        budget_tokens: what all the turns shown to the model may take.
        prompt_tokens: the most that the turns to be folded may take themselves.
        cancel: ends the folding; nothing is kept then.
    """
    turns, known = memory.turns(thread), memory.earlier(thread)
    shown = fitting(turns, budget_tokens, model.get_num_tokens)
    if thread is None or len(shown) == len(turns):
        return Earlier()
    fallen = [turn for turn in turns[: len(turns) - len(shown)] if turn.number > known.up_to]
    if not fallen:
        return known
    newest = fitting(turns, budget_tokens // 2, model.get_num_tokens)
    older = [turn for turn in turns[: len(turns) - len(newest)] if turn.number > known.up_to]
    folded = Earlier(_folded(older, known.text, model, prompt_tokens, cancel), older[-1].number)
    if cancel is None or not cancel.is_set():
        memory.summarised(thread, folded)
    return folded


def _folded(
    turns: Sequence[Turn], known: str, model: BaseChatModel, prompt_tokens: int, cancel: threading.Event | None
) -> str:
    """The summary of the turns and of what came before them; what came before where none can be made."""
    readable = fitting(turns, prompt_tokens - model.get_num_tokens(known), model.get_num_tokens)
    said = [(turn.standing, strip_citations(turn.answer)) for turn in readable]
    if not said:
        return known
    messages = thread_summary_messages(known, said, _WORDS)
    written = write(model, messages, max_new_tokens=_NEW_TOKENS, seconds=_SECONDS, cancel=cancel) or ""
    there = " ".join([known, *(part for turn in said for part in turn)])
    parts = [written[span.start : span.end] for span in sentences(written)]
    return " ".join(part for part in parts if not invented(part, there)) or known
