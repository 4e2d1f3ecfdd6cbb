"""The chat page's handlers, as Chainlit looks for them; what they do is in the chat room.

Start the page with `hearth chat`. Loaded by `chainlit run`, this file hands over to it.
"""

from __future__ import annotations

import sys

import chainlit as cl

from chat import dropping as dropped
from chat import handlers, serve, sources
from chat.starters import starters

serve.hand_over(sys.argv)


@cl.set_starters
async def set_starters(user: cl.User | None = None, language: str | None = None) -> list[cl.Starter]:
    """What an empty chat offers."""
    return starters()


@cl.on_chat_start
async def on_chat_start() -> None:
    """A page was opened."""
    await handlers.on_arrival()


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


@cl.action_callback(dropped.ACTION)
async def on_keep(action: cl.Action) -> None:
    """Keep in library was pressed."""
    await handlers.on_keep(action)
