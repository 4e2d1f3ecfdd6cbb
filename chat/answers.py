"""Answers after they were given: their sources and corrections can be asked for now and after a restart.

Each is kept with its question and passages before it is shown, so that its buttons always find it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import chainlit as cl
from chainlit.chat_context import chat_context
from chainlit.context import context

from agent.events import Answer, Source
from chat.backstage import stage
from chat.correcting import correct_button
from chat.errors import ChatError
from chat.identity import required
from chat.log import report_unexpected
from chat.sources import buttons

_SOURCE_FIELDS = [field.name for field in fields(Source)]


async def keep(message_id: str, answer: Answer) -> list[cl.Action]:
    """Keep an answer that is about to be shown; its buttons, none where it could not be kept."""
    chats = stage().chats
    question = next((said.content for said in reversed(chat_context.get()) if said.type == "user_message"), "")
    body = answer.to_json()
    kept = required().name, context.session.thread_id, message_id, question, body
    try:
        await chats.do(chats.feedback.keep_answer, *kept)
    except ChatError:
        report_unexpected("keeping an answer")
        return []
    return _buttons(message_id, body)


async def resume(thread: Mapping[str, Any]) -> None:
    """Put the buttons back under the answers among the steps of a thread that are shown again."""
    chats, shown = stage().chats, {step["id"] for step in thread["steps"]}
    answers = await chats.do(chats.feedback.answers, required().name, str(thread["id"]))
    for message_id, body in answers.items():
        for button in _buttons(message_id, body) if message_id in shown else ():
            await button.send(for_id=message_id)


async def source(payload: Mapping[str, Any]) -> Source | None:
    """The source that a pressed button stands for; None for one of an answer that is not the asker's, or is gone."""
    body = await answer(payload)
    found = _sources(body) if body else []
    return next((source for source in found if source.number == payload.get("number")), None)


async def answer(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer that a pressed button stands under, as it was given; None where it is not the asker's, or is gone."""
    chats = stage().chats
    return await chats.do(chats.feedback.answer, required().name, str(payload.get("message")))


def _buttons(message_id: str, body: Mapping[str, Any]) -> list[cl.Action]:
    return [*buttons(message_id, _sources(body)), correct_button(message_id)]


def _sources(body: Mapping[str, Any]) -> list[Source]:
    return [Source(**{name: source.get(name) for name in _SOURCE_FIELDS}) for source in body["sources"]]
