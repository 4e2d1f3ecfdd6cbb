"""A websocket that ends as soon as whoever opened it is signed out or disabled (C8, S02).

Chainlit looks at who asks when a socket is opened and never again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chat.body import Message, Receive

_NOT_ALLOWED = 1008


class WatchedSocket:
    """`receive` and `send` of a socket, looked at before each message in either direction.

    Args:
        still_in: whether the person may go on; cheap, as it is asked for every piece of an answer.
        receive: the socket's own.
        send: the socket's own.
    """

    def __init__(
        self, still_in: Callable[[], bool], receive: Receive, send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self._still_in = still_in
        self._receive = receive
        self._send = send
        self._ended = False

    async def receive(self) -> Message:
        """The next message, or the end."""
        message = await self._receive()
        if message["type"] == "websocket.receive" and not await self._goes_on():
            return {"type": "websocket.disconnect", "code": _NOT_ALLOWED}
        return message

    async def send(self, message: Message) -> None:
        """Send, unless it has ended."""
        if message["type"] != "websocket.send" or await self._goes_on():
            await self._send(message)

    async def _goes_on(self) -> bool:
        if not self._ended and not self._still_in():
            self._ended = True
            await self._send({"type": "websocket.close", "code": _NOT_ALLOWED})
        return not self._ended
