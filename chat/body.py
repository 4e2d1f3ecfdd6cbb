"""How much of a request is read: refused by its declared length, and by counting where none is declared (C10).

Chainlit reads an upload whole into memory before it looks at the size, so the count happens in front of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

UPLOADS = "/project/file"
# Longer than any form or JSON the page sends, and than the longest socket.io poll.
SMALL_BODY_BYTES = 16 * 2**20
# The form around an uploaded file: boundary, names, headers.
FORM_ALLOWANCE_BYTES = 64 * 2**10


class BodyTooLarge(Exception):
    """More came in than the request may hold."""


def body_limit(path: str, upload_limit_bytes: int) -> int:
    """The most bytes a request to this path may carry."""
    return upload_limit_bytes + FORM_ALLOWANCE_BYTES if path == UPLOADS else SMALL_BODY_BYTES


def declared_length(values: list[bytes]) -> int | None:
    """What Content-Length promises; None when absent.

    Raises:
        ValueError: it is not one whole number.
    """
    if not values:
        return None
    if len(values) > 1 or not values[0].isdigit():
        raise ValueError("Content-Length is not one whole number")
    return int(values[0])


class CountedBody:
    """`receive` that stops reading as soon as more than `limit` bytes have come in.

    `exceeded` stays true afterwards: the application may turn the exception into an answer of its own, which the
    guard then replaces.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self.source = receive
        self._left = limit
        self.exceeded = False

    async def receive(self) -> Message:
        """The next message of the request.

        Raises:
            BodyTooLarge: the limit is passed; nothing more is read.
        """
        if self.exceeded:
            raise BodyTooLarge
        message = await self.source()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self.exceeded = self._left < 0
            if self.exceeded:
                raise BodyTooLarge
        return message
