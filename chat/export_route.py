"""The route that saves a thread as a file, for its owner alone."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chat.chats import Chats
from chat.errors import NotThere
from chat.export import FORMS, exported, file_name
from chat.identity import required

PATH = "/project/thread/{thread_id}/export/{form}"


def export_route(chats: Chats) -> Route:
    """The route, to stand in front of Chainlit's own."""

    async def export(request: Request) -> Response:
        wanted: dict[str, Any] = request.path_params
        kept = chats.threads, chats.feedback, required().name, wanted["thread_id"]
        thread = await chats.do(exported, *kept)
        if thread is None or wanted["form"] not in FORMS:
            raise NotThere("chat")
        ending, kind, write = FORMS[wanted["form"]]
        saved = {"Content-Disposition": f'attachment; filename="{file_name(thread, ending)}"'}
        return Response(write(thread), media_type=kind, headers=saved)

    return Route(PATH, export, methods=["GET"])
