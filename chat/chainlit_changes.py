"""What Hearth changes in a loaded Chainlit: its Stop, the size of a message it accepts, and its refusal of empty files.

The first two through python-socketio's own interface, the one that Chainlit itself uses.
"""

from __future__ import annotations

import uuid
from typing import Any

from chainlit.server import sio
from chainlit.session import BaseSession, WebsocketSession

from chat.backstage import Backstage

# A pasted text of ten million characters gets a sentence from the assistant instead of a broken connection (Q02).
_LONGEST_MESSAGE_BYTES = 12 * 2**20


def change_chainlit(backstage: Backstage) -> None:
    """Take over Stop, accept long messages, and let an empty file in so that a sentence can be said about it."""
    sio.eio.max_http_buffer_size = _LONGEST_MESSAGE_BYTES

    async def stop(sid: str) -> None:
        # Chainlit's own handler adds a message and ends only the latest of several tasks (Q08).
        session = WebsocketSession.get(sid)
        if session is not None:
            backstage.turns.cancel(session.id)

    sio.on("stop", stop)
    _accept_empty_files()


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
