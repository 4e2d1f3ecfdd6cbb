"""A long thread is opened with its newest turns, as the page lays out every message anew; a press brings the earlier.

Nothing is lost: a thread is kept, searched, exported and remembered as a whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import chainlit as cl
from chainlit.chat_context import chat_context
from chainlit.context import context
from chainlit.data import get_data_layer
from chainlit.message import Message

ACTION = "earlier"
_SESSION_KEY = "shown_messages"
_MESSAGES_AT_FIRST = 40
_TIMES_MORE = 4

Thread = dict[str, Any]


def newest(thread: Thread) -> Thread:
    """A thread that is about to be shown, with as many of its newest messages as this session wants to see."""
    return _cut(thread, cl.user_session.get(_SESSION_KEY) or _MESSAGES_AT_FIRST)


async def show_earlier(revive: Callable[[Thread], Awaitable[None]]) -> None:
    """Put more of this session's thread on the page, in place of what is there.

    Args:
        revive: puts buttons under the steps of a thread; given those that are new on the page.
    """
    layer = get_data_layer()
    whole: Any = await layer.get_thread(context.session.thread_id) if layer else None
    if whole is None:
        return
    known = {step["id"] for step in newest(whole)["steps"]}
    cl.user_session.set(_SESSION_KEY, _TIMES_MORE * (cl.user_session.get(_SESSION_KEY) or _MESSAGES_AT_FIRST))
    thread = newest(whole)
    chat_context.clear()
    for step in filter(_is_message, thread["steps"]):
        chat_context.add(Message.from_dict(step))
    await revive({**thread, "steps": [step for step in thread["steps"] if step["id"] not in known]})
    await offer_earlier(thread)
    await context.emitter.resume_thread(thread)  # type: ignore[arg-type]


async def offer_earlier(thread: Mapping[str, Any]) -> None:
    """The button under the line above the newest messages, where there is one."""
    first = thread["steps"][0]["id"] if thread["steps"] else ""
    if first == _line_id(thread):
        await cl.Action(name=ACTION, label="Show earlier messages", icon="history", payload={}).send(for_id=first)


def _cut(thread: Thread, most: int) -> Thread:
    """The newest turns with at most so many messages, under a line that says how many came before."""
    steps: Sequence[Mapping[str, Any]] = thread["steps"]
    said = [index for index, step in enumerate(steps) if _is_message(step)]
    if len(said) <= most:
        return thread
    begins = [index for index in said[-most:] if steps[index]["type"] == "user_message"]
    first = begins[0] if begins else said[-most]
    kept = steps[first:]
    known = {step["id"] for step in kept}
    elements = [one for one in thread["elements"] if one.get("forId") in known or one.get("forId") is None]
    line = _line(thread, sum(index < first for index in said))
    return {**thread, "steps": [line, *kept], "elements": elements}


def _line(thread: Mapping[str, Any], count: int) -> dict[str, Any]:
    """What stands above the newest messages; it is kept nowhere."""
    return {
        **{key: thread["steps"][0].get(key) for key in ("createdAt", "start", "end")},
        "id": _line_id(thread),
        "threadId": thread["id"],
        "name": "Hearth",
        "type": "system_message",
        "output": f"*{count:,} earlier messages of this chat are not shown here.*",
        "input": "",
        "streaming": False,
    }


def _line_id(thread: Mapping[str, Any]) -> str:
    return f"earlier-{thread['id']}"


def _is_message(step: Mapping[str, Any]) -> bool:
    return str(step["type"]).endswith("message")
