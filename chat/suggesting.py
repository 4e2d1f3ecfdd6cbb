"""Questions that go on from an answer, as buttons under it: a press asks, and the next message takes them away.

They are looked for once the answer stands, so none waits for them, and are not kept with the thread.
"""

from __future__ import annotations

import asyncio
from typing import Any

import chainlit as cl
from chainlit.config import config
from chainlit.context import context

from agent.events import Answer
from agent.suggestions import suggestions
from chat.backstage import AssistantLike
from chat.identity import required

ACTION = "suggested"
_SESSION_KEY = "suggestions"
_LONGEST = 300
# Held, as the event loop alone would let them go.
_asking: set[asyncio.Task[None]] = set()


async def offer_suggestions(question: str, message_id: str, answer: Answer, assistant: AssistantLike) -> None:
    """Put buttons under an answer that has something to go on from."""
    found = await asyncio.to_thread(suggestions, question, answer, assistant.library)
    buttons = [cl.Action(name=ACTION, label=one, icon="corner-down-right", payload={"ask": one}) for one in found]
    for button in buttons:
        await button.send(for_id=message_id)
    cl.user_session.set(_SESSION_KEY, buttons)


async def clear_suggestions() -> None:
    """Take away those of the answer before."""
    for button in cl.user_session.get(_SESSION_KEY) or []:
        await button.remove()
    cl.user_session.set(_SESSION_KEY, None)


async def ask(payload: dict[str, Any]) -> None:
    """Ask what a pressed button says, as if it had been typed; the press itself is over at once."""
    person = required()
    text = str(payload.get("ask"))[:_LONGEST]
    message = cl.Message(content=text, type="user_message", author="User" if person.is_local else person.name)
    await message.send()
    task = asyncio.create_task(_answered(message))
    _asking.add(task)
    task.add_done_callback(_asking.discard)


async def _answered(message: cl.Message) -> None:
    await context.emitter.task_start()
    try:
        # By Chainlit's own way, under which an answer gets its thumbs.
        await config.code.on_message(message)
    finally:
        await context.emitter.task_end()
