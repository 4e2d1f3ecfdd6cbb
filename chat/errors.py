"""What can go wrong with the chat page and its users, each with a stable code and one sentence for the person.

The class carries the facts; imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ChatError(Exception):
    """Base of the room's errors; `code` is stable and scripts may rely on it."""

    code: str = "chat_error"


class NotLoopback(ChatError):
    """The address could be reached from other machines, and what the page sends is not encrypted (S11)."""

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


class NotSignedIn(ChatError):
    """Something private was asked for by nobody in particular."""

    code = "not_signed_in"

    def __init__(self) -> None:
        super().__init__("Nobody is signed in here: sign in, or open the link that the terminal printed.")


class NotThere(ChatError):
    """A thread, message, file or mark that does not exist for the person who asks, whoever else may have it (S03)."""

    code = "not_there"

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"There is no such {kind} here: it was deleted, or it is not yours.")


class ChatsUnreadable(ChatError):
    """The file with threads and users cannot be used (K04, K06, K16)."""

    code = "chats_unreadable"

    def __init__(self, file: Path, reason: str) -> None:
        self.file = file
        super().__init__(
            f"The chats in {file} cannot be used ({reason}): put a backup of it in its place, or move it away to "
            "begin without threads and users."
        )


class ChatsOffServer(ChatsUnreadable):
    """The server with threads and users cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        ChatError.__init__(
            self,
            f"The chats on {name} cannot be used ({reason}): see that the server runs and lets this user in, with the "
            "password of PGPASSWORD or ~/.pgpass, or empty the setting chats_url to keep chats in the data folder.",
        )


class BadLogin(ChatError):
    """The settings of a way to sign in cannot be used."""

    code = "bad_login"

    def __init__(self, found: str) -> None:
        super().__init__(f"Nobody can sign in as it is set up: {found}.")


class BadUserName(ChatError):
    """A name that no user can have."""

    code = "bad_user_name"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name!r} cannot be a user's name: use 1 to 64 letters, digits and . _ - @ +, and another name than 'you'."
        )


class UserExists(ChatError):
    """The name is taken."""

    code = "user_exists"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"There is a user {name} already: `hearth users list` shows who there is.")


class UnknownUser(ChatError):
    """Nobody has this name."""

    code = "unknown_user"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(f"There is no user {name!r}; there {'are ' + ', '.join(known) if known else 'is none'}.")


class WeakPassword(ChatError):
    """Too short to withstand guessing."""

    code = "weak_password"

    def __init__(self, least: int, most: int) -> None:
        super().__init__(f"The password was not taken: it needs {least} to {most} characters, the same both times.")


def _other_port(port: int) -> int:
    return port + 1 if port < 65535 else 8000
