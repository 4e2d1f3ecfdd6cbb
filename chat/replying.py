"""What a message leads to: a command, a tool called by hand, a training, documents that are read, or an answer.

`chat/handlers.py` gives each message here once its turn has come.
"""

from __future__ import annotations

import asyncio
from typing import Any

import chainlit as cl
from chainlit.context import context

from chat import by_hand
from chat.asking import scope
from chat.backstage import AssistantLike, Backstage
from chat.by_hand import ByHand
from chat.drawing import draw_answer
from chat.dropping import add_dropped
from chat.library_panel import LibraryPanel
from chat.models_shown import show_models
from chat.preferences import as_preferred, preferences
from chat.slash import LIBRARY, MODELS, STATUS, called
from chat.starters import prepared_reply
from chat.status import status
from chat.suggesting import clear_suggestions, offer_suggestions
from chat.training import page as training_page

_HINT = "Type a question, or drop a document here and ask about it."
_LIBRARY_IS_OPEN = "The library is open. Tick documents there to limit your next questions to them."


async def reply(backstage: Backstage, message: cl.Message) -> None:
    """Do what a message asks for, and show what comes of it.

    Raises:
        ChatError, AgentError, ModelError, RetrievalError, TrainingError: why it cannot be done.
    """
    if run := context.current_run:
        run.input = ""  # Chainlit would send the whole question back a second time
    await clear_suggestions()
    if await training_page.takes(backstage, message) or await _by_hand(backstage, message):
        return
    call = called(message.content, message.command)
    question = call.question if call else message.content.strip()
    if message.elements:
        outcomes = await add_dropped(backstage, message.elements, context.session.thread_id)
        await training_page.offer(message.elements)
        if not any(outcome.document_id for outcome in outcomes):
            return  # the question is about files that could not be read, and they say why
    elif not call and not says_something(question):
        await _say(_HINT)
        return
    if not call and not says_something(question):
        return
    if call and not call.is_complete:
        await _say(call.hint)
        return
    assistant = await backstage.assistant()
    if call and call.command.tool is None:
        await _show(call.command.name, backstage, assistant)
    elif prepared := await prepared_reply(question, assistant):
        await _say(prepared)
    elif about := await _about_picture(assistant, question, message):
        await _answer(backstage, message, question, tool=about.tool, arguments=about.arguments)
    else:
        await _answer(backstage, message, question, **({"tool": call.command.tool} if call else {}))


async def _answer(backstage: Backstage, message: cl.Message, question: str, **options: Any) -> None:
    """Ask the assistant as this chat wants it, draw its answer, and offer what can be asked next."""
    chosen = await asyncio.to_thread(preferences, backstage)
    assistant = await asyncio.to_thread(as_preferred, backstage, await backstage.assistant(), chosen)
    options = {"message": message.id} | scope().options() | chosen.options() | options
    drawn = await draw_answer(assistant, question, thread=context.session.thread_id, **options)
    if drawn and backstage.settings.suggestions == "on":
        await offer_suggestions(question, *drawn, assistant)


async def _by_hand(backstage: Backstage, message: cl.Message) -> bool:
    """Call one of the tools that this home adds; False where the message names none."""
    name = by_hand.name_called(message.content, message.command)
    if not name or called(message.content, message.command):
        return False
    tools = await asyncio.to_thread((await backstage.assistant()).named_tools)
    files = [str(element.path) for element in message.elements or [] if element.path]
    call = by_hand.called(message.content, message.command, tools, files)
    if call is None:
        return False
    if call.hint:
        await _say(call.hint)
    else:
        await _answer(backstage, message, message.content.strip() or name, tool=call.tool, arguments=call.arguments)
    return True


async def _about_picture(assistant: AssistantLike, question: str, message: cl.Message) -> ByHand | None:
    files = [(str(element.path), str(element.mime)) for element in message.elements or [] if element.path]
    return by_hand.about_picture(question, files, await asyncio.to_thread(assistant.named_tools)) if files else None


async def _show(name: str, backstage: Backstage, assistant: AssistantLike) -> None:
    """Carry out a command that is the page's own."""
    if name == LIBRARY:
        await LibraryPanel(backstage, assistant).show(is_opened=True)
        await _say(_LIBRARY_IS_OPEN)
    elif name == STATUS:
        await _say(await asyncio.to_thread(status, backstage))
    elif name == MODELS:
        await show_models(backstage)


def says_something(text: str) -> bool:
    """True when there is at least one letter or digit of any script in it (Q01)."""
    return any(character.isalnum() for character in text)


async def _say(text: str) -> None:
    await cl.Message(content=text).send()
