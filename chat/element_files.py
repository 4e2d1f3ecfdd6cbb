"""The route that hands out a kept element's file, to whoever may read its thread.

Chainlit serves files of a running session only; after a restart there is none.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from chat.chats import Chats
from chat.identity import required

PATH = "/project/file/{thread_id}/{element_id}"


def element_route(chats: Chats) -> Route:
    """The route, to stand in front of Chainlit's own."""

    async def element_file(request: Request) -> FileResponse:
        wanted: dict[str, Any] = request.path_params
        reading = chats.elements.file, required().name, wanted["thread_id"], wanted["element_id"]
        path, element = await chats.do(*reading)
        return FileResponse(path, media_type=element.get("mime") or "application/octet-stream")

    return Route(PATH, element_file, methods=["GET"])
