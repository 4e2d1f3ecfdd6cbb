"""A proposed call on the page: a card with the tool and its arguments in words, and nothing done before a press.

Only the session that was shown a card can press its buttons, and each card takes one press.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import chainlit as cl

from agent.events import Proposed
from chat.backstage import AssistantLike
from chat.inert import code, inert, plain

CONFIRM, DECLINE = "confirm_proposal", "decline_proposal"
NOT_HERE = "This proposal does not wait in this chat: it was answered, or it belongs to another one."
_WAITS = "Nothing happens until you choose."
_LAPSED = "*Not answered before you left: nothing was done. Ask again if you still want it.*"
_SESSION_KEY = "proposals"
_LONGEST_VALUE = 1000


@dataclass(frozen=True)
class Waiting:
    """A proposal that waits for a press, who made it, and its card."""

    proposed: Proposed
    assistant: AssistantLike
    card: cl.Message

    async def say(self, outcome: str) -> None:
        """Put what came of it on the card."""
        self.card.content = f"{in_words(self.proposed)}\n\n{outcome}"
        await self.card.update()


async def offer(proposed: Proposed, assistant: AssistantLike) -> cl.Message:
    """Show a proposal of an assistant as a card with its two buttons."""
    payload = {"proposal": proposed.id}
    card = cl.Message(
        content=f"{in_words(proposed)}\n\n{_WAITS}",
        actions=[
            cl.Action(name=CONFIRM, label="Do it", icon="check", payload=payload),
            cl.Action(name=DECLINE, label="Leave it", icon="x", payload=payload),
        ],
    )
    waiting = cl.user_session.get(_SESSION_KEY) or {}
    waiting[proposed.id] = Waiting(proposed, assistant, card)
    cl.user_session.set(_SESSION_KEY, waiting)
    await card.send()
    return card


async def lapse(thread: Mapping[str, Any]) -> None:
    """Say on the cards of a thread that was opened again that they wait no more; nothing was done."""
    for step in thread["steps"]:
        if step["type"] == "assistant_message" and step["output"].endswith(_WAITS):
            step["output"] = step["output"].removesuffix(_WAITS) + _LAPSED
            await cl.Message.from_dict(step).update()


async def confirm(payload: dict[str, Any]) -> bool:
    """Do what the pressed card proposes and say on it what came of it; False where no such card waits here."""
    taken = await _taken(payload)
    if taken is None:
        return False
    await taken.say("*Being done …*")
    outcome = "*No result came back.*"
    try:
        answer = await asyncio.to_thread(taken.assistant.confirm, taken.proposed.id)
        outcome = inert(answer.text).strip() or "*Done.*"
    finally:
        await taken.say(outcome)
    return True


async def decline(payload: dict[str, Any]) -> bool:
    """Leave what the pressed card proposes undone; False where no such card waits here."""
    taken = await _taken(payload)
    if taken is None:
        return False
    await taken.say("*Left: nothing was done.*")
    return True


def in_words(proposed: Proposed) -> str:
    """The call as Markdown: the tool, and each argument on a line of its own."""
    lines = [f"- {plain(name)}: {_shown(value)}" for name, value in proposed.arguments.items()]
    return "\n".join([f"**{plain(proposed.tool)}** would change something:", "", *lines])


def _shown(value: Any) -> str:
    words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    cut = words[:_LONGEST_VALUE]
    return (code(cut) or "(empty)") + ("…" if len(words) > len(cut) else "")


async def _taken(payload: dict[str, Any]) -> Waiting | None:
    """The card of this session that a press belongs to, which takes no further press."""
    waiting: dict[str, Waiting] = cl.user_session.get(_SESSION_KEY) or {}
    taken = waiting.pop(str(payload.get("proposal")), None)
    if taken is not None:
        await taken.card.remove_actions()
        taken.card.actions = []
    return taken
