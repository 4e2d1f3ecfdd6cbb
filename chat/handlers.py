"""What happens when a person writes, drops, clicks, stops or leaves; `chainlit_app.py` hands Chainlit's calls here.

No exception goes further than this file: a person reads a sentence and an id, the trace is in the log (C9).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import chainlit as cl
from chainlit.context import context

from agent.errors import AgentError
from chat import answers, by_hand, proposing, resuming, suggesting
from chat.backstage import stage
from chat.correcting import ask_for_correction
from chat.dropping import keep_document, resume_dropped
from chat.errors import ChatError
from chat.identity import required
from chat.inert import plain
from chat.library_panel import KIND, LibraryPanel
from chat.log import report_unexpected
from chat.models_shown import open_card
from chat.preferences import offer
from chat.replying import reply
from chat.slash import menu
from chat.sources import open_beside
from chat.training import page as training_page
from chat.turns import StillAnswering
from models.errors import ModelError
from retrieval.errors import RetrievalError
from training.errors import TrainingError

NAMED_ERRORS = (AgentError, ChatError, ModelError, RetrievalError, TrainingError)
# Held, as the event loop alone would let them go.
_background: set[asyncio.Task[None]] = set()
_BUSY = "I am still answering the message before. Stop it, or wait until it is done."


async def on_arrival() -> None:
    """A page is open: offer commands and settings, and load the models while the person thinks of a question."""
    stage().start()
    await context.emitter.set_commands([*menu(), *training_page.commands()])
    async with _sentences():
        await offer(stage())
    _in_background(_offer_added_tools())


async def _offer_added_tools() -> None:
    """Complete the menu with the tools of this home, which are known once MCP servers have started."""
    with suppress(*NAMED_ERRORS):  # the first question says what is wrong
        tools = await asyncio.to_thread((await stage().assistant()).named_tools)
        if added := by_hand.menu(tools):
            await context.emitter.set_commands([*menu(), *training_page.commands(), *added])


async def on_message(message: cl.Message) -> None:
    """Read what was dropped with a message, then answer it."""
    backstage = stage()
    try:
        async with backstage.turns.turn(context.session.id, message.id), _sentences():
            # Where the page does not keep it in its address by itself, its script does (page/public/export.js).
            await cl.send_window_message({"hearth": "thread", "thread": context.session.thread_id})
            await reply(backstage, message)
    except StillAnswering:
        await cl.Message(content=_BUSY).send()
    except asyncio.CancelledError:
        # Stopped by the person: the answer says so itself, and Chainlit takes a normal end better than this one.
        return


async def on_edit(edited: str) -> bool:
    """Take back what came after a message that is edited; False, with the reason on the page, where that fails."""
    backstage, thread = stage(), context.session.thread_id
    taken: list[str] = []
    async with _sentences():
        await backstage.turns.replace(context.session.id)
        gone = await backstage.chats.do(backstage.chats.threads.cut, required().name, thread, edited)
        await backstage.chats.do(backstage.chats.elements.cut, required().name, thread, gone)
        await asyncio.to_thread((await backstage.assistant()).take_back, thread, [edited, *gone])
        taken = [edited, *gone]
    return bool(taken)


async def name_after(message: str, before: str) -> None:
    """Name the chat after its first message as it is now, and say so to the page, unless a person named it."""
    backstage, thread = stage(), context.session.thread_id
    async with _sentences():
        if await backstage.chats.do(backstage.chats.threads.name_after, required().name, thread, message, before):
            await context.emitter.emit("first_interaction", {"interaction": message, "thread_id": thread})


async def on_source(action: cl.Action) -> None:
    """Open a source beside the chat."""
    async with _sentences():
        source = await answers.source(action.payload)
        if source is None:
            await context.emitter.send_toast("This answer was deleted, so its source is not known any more.", "warning")
            return
        await open_beside(source, (await stage().assistant()).library)


async def on_correct(action: cl.Action) -> None:
    """Ask what an answer should have been; the press itself is over at once."""
    async with _sentences():
        answer = await answers.answer(action.payload)
        if answer is not None:
            _in_background(_ask_for_correction(str(action.payload["message"]), answer))


def _in_background(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)


async def _offer_to_keep(thread: Mapping[str, Any]) -> None:
    async with _sentences():
        await resume_dropped(stage(), thread)


async def _ask_for_correction(message_id: str, answer: dict[str, Any]) -> None:
    async with _sentences():
        await ask_for_correction(message_id, answer)


async def on_resume(thread: Mapping[str, Any]) -> None:
    """A person came back to a thread."""
    await on_arrival()
    await resuming.offer_earlier(thread)
    await _revive(thread)


async def _revive(thread: Mapping[str, Any]) -> None:
    """Put the buttons that still make sense under the steps of a thread that are shown again."""
    await answers.resume(thread)
    await proposing.lapse(thread)
    await training_page.resume(stage(), thread)
    _in_background(_offer_to_keep(thread))


async def on_earlier() -> None:
    """Show more of a long thread."""
    async with _sentences():
        if stage().turns.is_running(context.session.id):
            await context.emitter.send_toast(_BUSY, "warning")
        else:
            await resuming.show_earlier(_revive)


async def on_suggestion(action: cl.Action) -> None:
    """Ask what a button under an answer says."""
    async with _sentences():
        await suggesting.ask(action.payload)


async def on_card(action: cl.Action) -> None:
    """Show a model's card beside the chat."""
    async with _sentences():
        await open_card(stage(), action.payload)


async def on_keep(action: cl.Action) -> None:
    """Keep a dropped document in the library."""
    async with _sentences():
        trouble = await keep_document(stage(), action.payload)
        if trouble is None:
            await action.remove()
        else:
            await context.emitter.send_toast(trouble, "error")


async def on_proposal(action: cl.Action) -> None:
    """Do what a card proposes, or leave it."""
    async with _sentences():
        if action.name == proposing.CONFIRM:
            known = await proposing.confirm(action.payload)
        else:
            known = await proposing.decline(action.payload)
        if not known:
            await context.emitter.send_toast(proposing.NOT_HERE, "warning")


async def on_window_message(data: Any) -> None:
    """The page's own script asks for something; whatever else a window says is not for us."""
    if isinstance(data, dict) and data.get("hearth") == KIND:
        async with _sentences():
            backstage = stage()
            await LibraryPanel(backstage, await backstage.assistant()).answer(data)


async def on_training(action: cl.Action) -> None:
    """Do what a button about training says."""
    async with _sentences():
        await training_page.pressed(stage(), action)


async def on_leave() -> None:
    """End what still runs for a person who closed the page (C11, S06)."""
    stage().turns.forget(context.session.id)


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
