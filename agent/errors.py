"""What can go wrong in the assistant's own room; each class is one stable code and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class AgentError(Exception):
    """Base of the room's errors; `code` is stable, the message says what was found, expected and to do."""

    code = "agent_error"


class BadSetting(AgentError):
    """A setting has a value that cannot be used."""

    code = "bad_setting"

    def __init__(self, name: str, value: object, origin: str, expected: str) -> None:
        self.name, self.value, self.origin, self.expected = name, value, origin, expected
        super().__init__(f"The setting {name} is {value!r} ({origin}), expected {expected}; correct it there.")


class UnknownSetting(AgentError):
    """A name that no setting has."""

    code = "unknown_setting"

    def __init__(self, name: str, origin: str, nearest: Sequence[str]) -> None:
        self.name, self.origin, self.nearest = name, origin, tuple(nearest)
        hint = f"did you mean {', '.join(nearest)}?" if nearest else "`hearth settings` lists the known ones."
        super().__init__(f"{origin} names the setting {name!r}, which does not exist; {hint}")


class BadInput(AgentError):
    """A file given to a command cannot be read as what it should be."""

    code = "bad_input"


class UnknownTool(AgentError):
    """A tool was asked for by a name that no tool has."""

    code = "unknown_tool"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"There is no tool {name!r}; choose one of: {', '.join(known)}.")


class UnknownProposal(AgentError):
    """A proposal was confirmed that is not waiting."""

    code = "unknown_proposal"

    def __init__(self, proposal: str) -> None:
        super().__init__(f"No proposal {proposal!r} is waiting: it was confirmed already, or too many came after it.")


class ThreadsUnreadable(AgentError):
    """The file that keeps the threads cannot be read or written."""

    code = "threads_unreadable"

    def __init__(self, file: Path, reason: str) -> None:
        self.file, self.reason = file, reason
        super().__init__(f"The threads in {file} cannot be used ({reason}): ask without one, or move the file away.")
