"""What Hearth changes in a loaded Chainlit: its Stop, and the size of a message it accepts.

Both through python-socketio's own interface, the one that Chainlit itself uses.
"""

from __future__ import annotations

from chainlit.server import sio
from chainlit.session import WebsocketSession

from chat.backstage import Backstage

# A pasted text of ten million characters gets a sentence from the assistant instead of a broken connection (Q02).
_LONGEST_MESSAGE_BYTES = 12 * 2**20


def change_chainlit(backstage: Backstage) -> None:
    """Take over Stop, and accept long messages."""
    sio.eio.max_http_buffer_size = _LONGEST_MESSAGE_BYTES

    async def stop(sid: str) -> None:
        # Chainlit's own handler adds a message and ends only the latest of several tasks (Q08).
        session = WebsocketSession.get(sid)
        if session is not None:
            backstage.turns.cancel(session.id)

    sio.on("stop", stop)
