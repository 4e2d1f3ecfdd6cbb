"""What a browser does on the wire, without one: a session cookie, a socket, messages, uploads, actions."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx
import socketio

from tests.chat.server_process import ServerProcess


class ChatClient:
    """One open page; `events` holds everything the server sent, with its time."""

    def __init__(self, server: ServerProcess, cookie: str, thread_id: str = "", session_id: str | None = None) -> None:
        self.server = server
        self.session_id = session_id or str(uuid.uuid4())
        self._thread_id = thread_id
        self.events: list[tuple[float, str, Any]] = []
        self._headers = {"Cookie": cookie, "Origin": server.url}
        self.http = httpx.AsyncClient(base_url=server.url, headers=self._headers, timeout=30, verify=False)
        self._socket = socketio.AsyncClient(reconnection=False)
        self._socket.on("*", self._remember)

    async def _remember(self, event: str, data: Any = None) -> None:
        self.events.append((time.monotonic(), event, data))

    async def __aenter__(self) -> Self:
        await self._socket.connect(
            self.server.url,
            headers=self._headers,
            socketio_path="/ws/socket.io",
            transports=["websocket"],
            auth={"clientType": "webapp", "sessionId": self.session_id, "threadId": self._thread_id, "userEnv": "{}"},
        )
        await self._socket.emit("connection_successful")
        # One for the connection, one for the handler of a new chat.
        await self.until(lambda: len(self.data("task_end")) == 2)
        if self._thread_id:
            await self.until(lambda: self.saw("resume_thread") or self.saw("resume_thread_error"))
        else:
            self.events.clear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()
        await self.http.aclose()

    async def leave(self) -> None:
        await self._socket.disconnect()

    async def say(self, text: str, files: list[str] | None = None, command: str | None = None) -> str:
        message_id = str(uuid.uuid4())
        message = {
            "id": message_id,
            "threadId": "",
            "name": "User",
            "type": "user_message",
            "output": text,
            "command": command,
            "createdAt": "2026-01-01T00:00:00Z",
        }
        references = [{"id": file} for file in files or []]
        await self._socket.emit("client_message", {"message": message, "fileReferences": references})
        return message_id

    async def send(self, event: str, *data: Any) -> None:
        """Any event, as a page of somebody with other plans would send it."""
        await self._socket.emit(event, *data)

    @property
    def connected(self) -> bool:
        """Whether the socket is open."""
        return bool(self._socket.connected)

    def reply_with(self, reply: Callable[[Any], Any]) -> None:
        """How to answer what the page asks its person."""
        self._socket.on("ask", reply)

    async def thread(self) -> str:
        """The id of the chat that this page is in, known after the first message."""
        await self.until(lambda: self.saw("first_interaction"))
        return str(self.data("first_interaction")[-1]["thread_id"])

    async def edit(self, message_id: str, text: str) -> None:
        await self._socket.emit("edit_message", {"message": {"id": message_id, "output": text}})

    async def tell(self, message: Any) -> None:
        """What the page's own script says with a window message."""
        await self._socket.emit("window_message", message)

    async def set_preferences(self, **values: Any) -> None:
        """What the settings' confirm button sends."""
        await self._socket.emit("chat_settings_change", values)

    async def stop(self) -> None:
        await self._socket.emit("stop")

    async def upload(self, name: str, content: bytes, kind: str = "text/plain") -> httpx.Response:
        return await self.http.post(
            "/project/file", params={"session_id": self.session_id}, files={"file": (name, content, kind)}
        )

    async def press(self, action: dict[str, Any]) -> httpx.Response:
        return await self.http.post("/project/action", json={"sessionId": self.session_id, "action": action})

    async def until(self, condition: Callable[[], bool], seconds: float = 15) -> float:
        """Wait for something to be seen; the moment it was."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not seen in {seconds} s: {self.events[-20:]}"
            await asyncio.sleep(0.005)
        return time.monotonic()

    def saw(self, event: str) -> bool:
        return any(name == event for _, name, _ in self.events)

    def data(self, event: str) -> list[Any]:
        return [data for _, name, data in self.events if name == event]

    def messages(self) -> dict[str, dict[str, Any]]:
        """The last state of every message and step, by id, in order of appearance."""
        state: dict[str, dict[str, Any]] = {}
        for _, event, data in self.events:
            if event in ("new_message", "update_message", "stream_start"):
                state[data["id"]] = {**state.get(data["id"], {}), **data}
            elif event == "stream_token":
                state[data["id"]]["output"] += data["token"]
        return state

    def texts(self) -> list[str]:
        return [step["output"] for step in self.messages().values() if step["type"] == "assistant_message"]

    async def answered(self, seconds: float = 15) -> None:
        """Wait until the server says that it is done with a message."""
        await self.until(lambda: self.saw("task_start"), seconds)
        await self.until(
            lambda: [name for _, name, _ in self.events if name in ("task_start", "task_end")][-1] == "task_end",
            seconds,
        )
