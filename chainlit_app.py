"""The chat page's handlers, as Chainlit looks for them; what they do is in the chat room.

Start the page with `hearth chat`. Loaded by `chainlit run`, this file hands over to it.
"""

from __future__ import annotations

import sys
from typing import Any

import chainlit as cl
from chainlit.types import ThreadDict

from chat import correcting, handlers, models_shown, proposing, resuming, serve, sources, suggesting
from chat import dropping as dropped
from chat.starters import starters
from chat.training import card

serve.hand_over(sys.argv)


@cl.set_starters
async def set_starters(user: cl.User | None = None, language: str | None = None) -> list[cl.Starter]:
    """What an empty chat offers."""
    return starters()


@cl.on_chat_start
async def on_chat_start() -> None:
    """A page was opened."""
    await handlers.on_arrival()


@cl.on_chat_resume
async def on_chat_resume(thread: ThreadDict) -> None:
    """A person came back to a thread."""
    await handlers.on_resume(thread)


@cl.on_message
async def on_message(message: cl.Message) -> None:
    """A person wrote, or dropped files."""
    await handlers.on_message(message)


@cl.on_chat_end
async def on_chat_end() -> None:
    """A person closed the page or lost the connection."""
    await handlers.on_leave()


@cl.action_callback(sources.ACTION)
async def on_source(action: cl.Action) -> None:
    """A source's button was pressed."""
    await handlers.on_source(action)


@cl.action_callback(correcting.ACTION)
async def on_correct(action: cl.Action) -> None:
    """Correct was pressed under an answer."""
    await handlers.on_correct(action)


@cl.action_callback(dropped.ACTION)
async def on_keep(action: cl.Action) -> None:
    """Keep in library was pressed."""
    await handlers.on_keep(action)


@cl.action_callback(proposing.CONFIRM)
@cl.action_callback(proposing.DECLINE)
async def on_proposal(action: cl.Action) -> None:
    """A proposal's button was pressed."""
    await handlers.on_proposal(action)


@cl.on_window_message
async def on_window_message(data: Any) -> None:
    """The page's own script sent something."""
    await handlers.on_window_message(data)


@cl.action_callback(card.ACTION)
async def on_training(action: cl.Action) -> None:
    """A button about training was pressed."""
    await handlers.on_training(action)


@cl.action_callback(suggesting.ACTION)
async def on_suggestion(action: cl.Action) -> None:
    """A question under an answer was pressed."""
    await handlers.on_suggestion(action)


@cl.action_callback(resuming.ACTION)
async def on_earlier(action: cl.Action) -> None:
    """Show earlier messages was pressed."""
    await handlers.on_earlier()


@cl.action_callback(models_shown.ACTION)
async def on_card(action: cl.Action) -> None:
    """A model's card was asked for."""
    await handlers.on_card(action)
