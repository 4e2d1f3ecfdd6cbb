"""What can keep the chat page from starting, each with a stable code and one sentence for the person.

The class carries the facts; imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class ChatError(Exception):
    """Base of the room's errors; `code` is stable and scripts may rely on it."""

    code: ClassVar[str] = "chat_error"


class NotLoopback(ChatError):
    """The address could be reached from other machines, and the page has no accounts yet (S11)."""

    code = "not_loopback"

    def __init__(self, host: str) -> None:
        self.host = host
        super().__init__(
            f"The chat listens on this machine only, but was asked to listen on {host}: use --host 127.0.0.1, "
            "and an SSH tunnel to reach it from elsewhere."
        )


class PortInUse(ChatError):
    """Another program already listens there (S01)."""

    code = "port_in_use"

    def __init__(self, port: int, holder: str | None) -> None:
        self.port, self.holder = port, holder
        who = holder or "another program"
        super().__init__(f"Port {port} is in use by {who}: end it, or choose another with --port {_other_port(port)}.")


class PortRefused(ChatError):
    """The system does not let this user listen there."""

    code = "port_refused"

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host, self.port = host, port
        super().__init__(f"The system refused to listen on {host} port {port} ({reason}): choose another with --port.")


class HomeNotWritable(ChatError):
    """The page needs a folder for what is dropped into it."""

    code = "home_read_only"

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        super().__init__(
            f"The data folder {folder} cannot be written ({reason}): make it writable, or choose another with --home."
        )


class Unguarded(ChatError):
    """The page was loaded by something that did not put the guard in front of it."""

    code = "unguarded"

    def __init__(self) -> None:
        super().__init__("The page runs only behind its guard: start it with `hearth chat`.")


def _other_port(port: int) -> int:
    return port + 1 if port < 65535 else 8000
