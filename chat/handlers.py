"""What happens when a person writes, drops, clicks, stops or leaves; `chainlit_app.py` hands Chainlit's calls here.

No exception goes further than this file: a person reads a sentence and an id, the trace is in the log (C9).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import chainlit as cl
from chainlit.context import context

from agent.errors import AgentError
from chat.backstage import Backstage, stage
from chat.drawing import draw_answer
from chat.dropping import add_dropped, keep_document
from chat.inert import plain
from chat.log import report_unexpected
from chat.sources import open_beside, remembered_source
from chat.starters import prepared_reply
from chat.turns import StillAnswering
from models.errors import ModelError
from retrieval.errors import RetrievalError

NAMED_ERRORS = (AgentError, ModelError, RetrievalError)
_HINT = "Type a question, or drop a document here and ask about it."
_BUSY = "I am still answering the message before. Stop it, or wait until it is done."


async def on_arrival() -> None:
    """A page is open: load the models while the person thinks of a question."""
    stage().start()


async def on_message(message: cl.Message) -> None:
    """Read what was dropped with a message, then answer it."""
    backstage = stage()
    try:
        async with backstage.turns.turn(context.session.id, message.id), _sentences():
            await _reply(backstage, message)
    except StillAnswering:
        await cl.Message(content=_BUSY).send()
    except asyncio.CancelledError:
        # Stopped by the person: the answer says so itself, and Chainlit takes a normal end better than this one.
        return


async def _reply(backstage: Backstage, message: cl.Message) -> None:
    thread_id = context.session.thread_id
    question = message.content.strip()
    if run := context.current_run:
        run.input = ""  # Chainlit would send the whole question back a second time
    if message.elements:
        await add_dropped(backstage, message.elements, thread_id)
    elif not says_something(question):
        await cl.Message(content=_HINT).send()
        return
    if not says_something(question):
        return
    assistant = await backstage.assistant()
    if prepared := await prepared_reply(question, assistant):
        await cl.Message(content=prepared).send()
        return
    await draw_answer(assistant, question, thread_id)


async def on_source(action: cl.Action) -> None:
    """Open a source beside the chat."""
    async with _sentences():
        source = remembered_source(action.payload)
        if source is None:
            await context.emitter.send_toast("This source belongs to an earlier visit; ask again to see it.", "warning")
            return
        await open_beside(source, (await stage().assistant()).library)


async def on_keep(action: cl.Action) -> None:
    """Keep a dropped document in the library."""
    async with _sentences():
        trouble = await keep_document(stage(), action.payload)
        if trouble is None:
            await action.remove()
        else:
            await context.emitter.send_toast(trouble, "error")


async def on_leave() -> None:
    """End what still runs for a person who closed the page (C11, S06)."""
    stage().turns.forget(context.session.id)


def says_something(text: str) -> bool:
    """True when there is at least one letter or digit of any script in it (Q01)."""
    return any(character.isalnum() for character in text)


@asynccontextmanager
async def _sentences() -> AsyncIterator[None]:
    """Turn an error into a sentence on the page."""
    try:
        yield
    except StillAnswering:
        raise
    except NAMED_ERRORS as error:
        await _say(f"{plain(str(error))} (`{error.code}`)")
    except Exception:  # the page's edge: nothing may reach the person as a trace
        error_id = report_unexpected("answering on the page")
        await _say(f"Something unexpected went wrong; the log has the details under `{error_id}`.")


async def _say(sentence: str) -> None:
    message = cl.Message(content=sentence)
    message.is_error = True
    await message.send()
