"""An edited message: what came after it goes from the page, from what is kept, and from what the assistant remembers.

Chainlit takes the messages off the page, leaves the steps of tools, and would let any message be edited (C6).
"""

from __future__ import annotations

from typing import Any

from chainlit.chat_context import chat_context
from chainlit.context import init_ws_context
from chainlit.server import sio
from chainlit.session import WebsocketSession

from chat import handlers


def own_edits() -> None:
    """Put our part in front of Chainlit's."""
    edit = sio.handlers["/"]["edit_message"]

    async def edit_own(sid: str, payload: dict[str, Any]) -> None:
        init_ws_context(WebsocketSession.require(sid))
        edited = str(payload["message"]["id"])
        is_theirs = any(said.id == edited and said.type == "user_message" for said in chat_context.get())
        if is_theirs and await handlers.on_edit(edited):
            await edit(sid, payload)

    sio.on("edit_message", edit_own)
