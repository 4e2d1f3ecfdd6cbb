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
        edited, theirs = (
            str(payload["message"]["id"]),
            [one for one in chat_context.get() if one.type == "user_message"],
        )
        before = next((said.content for said in theirs if said.id == edited), None)
        if before is None or not await handlers.on_edit(edited):
            return
        if theirs[0].id == edited:
            await handlers.name_after(str(payload["message"]["output"]), before)
        await edit(sid, payload)

    sio.on("edit_message", edit_own)
