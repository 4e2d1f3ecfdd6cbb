"""What Hearth changes in a loaded Chainlit: Stop, sizes, empty files, and every place where it trusts what a page says.

Nothing of Chainlit's is edited on the disk: its own hooks are used where it has some, else a function is put in place.
"""

from __future__ import annotations

import uuid
from typing import Any

import chainlit.socket
from chainlit.chat_context import chat_contexts
from chainlit.emitter import ChainlitEmitter
from chainlit.server import app, sio
from chainlit.session import BaseSession, WebsocketSession, ws_sessions_id
from chainlit.utils import utc_now
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from chat.access import SOCKET_EVENTS, Access
from chat.backstage import Backstage
from chat.chainlit_edits import own_edits
from chat.chainlit_sign_in import own_sign_ins
from chat.element_files import element_route
from chat.errors import ChatError, NotSignedIn, NotThere
from chat.export_route import export_route
from chat.identity import present, required
from chat.launch import LaunchPass
from chat.logins import Logins
from chat.resuming import newest

# A pasted text of ten million characters gets a sentence from the assistant instead of a broken connection (Q02).
_LONGEST_MESSAGE_BYTES = 12 * 2**20
_WRONG_PASSWORD = "that name or password is not right."


def change_chainlit(backstage: Backstage, launch: LaunchPass, ways: Logins) -> None:
    """Take over what Chainlit does differently."""
    sio.eio.max_http_buffer_size = _LONGEST_MESSAGE_BYTES
    _accept_empty_files()
    own_sign_ins(backstage, launch, ways)
    _own_sessions(backstage)
    _own_messages()
    own_edits()
    _answer_with_404()
    app.router.routes[:0] = [element_route(backstage.chats), export_route(backstage.chats)]

    async def stop(sid: str) -> None:
        # Chainlit's own handler adds a message and ends only the latest of several tasks (Q08).
        session = WebsocketSession.get(sid)
        if session is not None and not backstage.turns.cancel(session.id) and session.current_task is not None:
            session.current_task.cancel()  # a message that has come in and whose turn has not begun

    sio.on("stop", stop)
    for event, rule in SOCKET_EVENTS.items():
        if rule is Access.CLOSED:
            del sio.handlers["/"][event]


def _accept_empty_files() -> None:
    """An empty upload would be answered with a server error (D01)."""
    persist_file = BaseSession.persist_file

    async def persist_any_file(
        self: BaseSession, name: str, mime: str, path: str | None = None, content: bytes | str | None = None
    ) -> Any:
        if path or content or content is None:
            return await persist_file(self, name, mime, path, content)
        file_id = str(uuid.uuid4())
        self.files_dir.mkdir(exist_ok=True)
        empty = self.files_dir / file_id
        empty.touch()
        self.files[file_id] = {"id": file_id, "path": empty, "name": name, "type": mime, "size": 0}
        return {"id": file_id}

    BaseSession.persist_file = persist_any_file  # type: ignore[method-assign]


def _own_sessions(backstage: Backstage) -> None:
    """A page reaches its own session only, and a thread only that is its person's (C3, C7, S03)."""
    connect = sio.handlers["/"]["connect"]
    restore = chainlit.socket.restore_existing_session
    delete: Any = WebsocketSession.delete
    resume = chainlit.socket.resume_thread

    async def connect_own(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> bool:
        try:
            # The id is the name of a folder, too.
            session_id = str(uuid.UUID(str(auth.get("sessionId"))))
        except ValueError as error:
            raise ConnectionRefusedError("the session's id is none") from error
        await connect(sid, environ, {**auth, "sessionId": session_id})
        session = WebsocketSession.require(sid)
        session.environ = {}  # it would hold the whole connection for as long as the session may come back
        wanted = session.thread_id_to_resume
        threads = backstage.chats.threads
        if wanted and not session.restored and not await backstage.chats.do(threads.owns, required().name, wanted):
            session.thread_id = str(uuid.uuid4())
        return True

    def restore_own(sid: str, session_id: str, *arguments: Any, **named: Any) -> bool:
        if session_id not in ws_sessions_id:
            return False
        try:
            return bool(restore(sid, session_id, *arguments, **named))
        except NotThere as error:
            raise ConnectionRefusedError("authorization failed") from error

    def own_session(session_id: str) -> WebsocketSession:
        session = ws_sessions_id.get(session_id)
        person = present()
        if session is None or session.user is None or person is None or session.user.identifier != person.name:
            raise NotThere("page")
        return session

    async def delete_whole(self: WebsocketSession) -> None:
        await delete(self)
        chat_contexts.pop(self.id, None)  # Chainlit forgets a session and never what was said in it (C11)

    async def resume_newest(session: WebsocketSession) -> Any:
        thread: Any = await resume(session)
        return newest(thread) if thread else thread

    sio.on("connect", connect_own)
    chainlit.socket.resume_thread = resume_newest
    WebsocketSession.delete = delete_whole  # type: ignore[method-assign]
    chainlit.socket.restore_existing_session = restore_own
    WebsocketSession.get_by_id = staticmethod(own_session)  # type: ignore[method-assign]


def _own_messages() -> None:
    """A page says what a person wrote; who, when and as what is said here (C6)."""
    process_message = ChainlitEmitter.process_message

    async def process_own(self: ChainlitEmitter, payload: Any) -> Any:
        given = payload["message"]
        person = required()
        message = {
            "id": str(given["id"]),
            "threadId": self.session.thread_id,
            "name": "User" if person.is_local else person.name,
            "type": "user_message",
            "output": str(given["output"]),
            "createdAt": utc_now(),
            "command": given.get("command"),
            "modes": given.get("modes"),
        }
        changed: Any = {**payload, "message": message}
        return await process_message(self, changed)

    ChainlitEmitter.process_message = process_own  # type: ignore[method-assign]


def _answer_with_404() -> None:
    """What is not there and what is another's get the same answer (S03)."""

    async def own_error(request: Request, error: Exception) -> JSONResponse:
        cause = error if isinstance(error, ChatError) else error.__cause__
        if isinstance(cause, ChatError):
            status = 404 if isinstance(cause, NotThere) else 401 if isinstance(cause, NotSignedIn) else 503
            return JSONResponse({"detail": str(cause), "code": cause.code}, status)
        assert isinstance(error, HTTPException)
        detail = error.detail
        if detail == "credentialssignin":
            # Without a password the name of the page's own text, else a sentence that the page shows as it is.
            detail = "oauthSignin" if request.url.path == "/auth/header" else _WRONG_PASSWORD
        return JSONResponse({"detail": detail}, error.status_code, error.headers)

    app.add_exception_handler(ChatError, own_error)
    app.add_exception_handler(HTTPException, own_error)
