"""What can go wrong with a training from the page, each with a stable code and one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chat.errors import ChatError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class CommandFailed(ChatError):
    """A `hearth` command that the page ran said why it failed; the code is the command's."""

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        super().__init__(sentence)


class TrainingRuns(ChatError):
    """Another training is being made in this home."""

    code = "training_runs"

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"{run} is being trained; one training runs at a time: wait for its end, or stop it.")


class NoSuchRun(ChatError):
    """A button names a run that is not in the home any more."""

    code = "run_not_found"

    def __init__(self, run: str) -> None:
        self.run = run
        super().__init__(f"There is no run {run} any more: `/train` shows the newest one.")


class MayNotTrain(ChatError):
    """Training and changing what serves everybody is the administrator's."""

    code = "not_administrator"

    def __init__(self) -> None:
        super().__init__("Training, and choosing the model that serves, is the administrator's: ask them to do it.")


class NotThisChats(ChatError):
    """A button names a table that was not dropped into this chat."""

    code = "table_not_found"

    def __init__(self) -> None:
        super().__init__("This table was not dropped into this chat: drop it again.")


class NotWritten(ChatError):
    """What a training begins with could not be written: a full or failing disk (K04)."""

    code = "not_written"

    def __init__(self, folder: Path, error: OSError) -> None:
        self.folder = folder
        reason = (error.strerror or str(error) or "the system gave no reason").lower()
        todo = "free some space on that disk" if error.errno in _FULL else "see to that folder and its disk"
        super().__init__(f"Nothing was begun, as {folder} could not be written ({reason}): {todo}, then press again.")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Names the folder and the reason where what the block writes into it cannot be written.

    Raises:
        NotWritten: the system refused.
    """
    try:
        yield
    except OSError as error:
        raise NotWritten(folder, error) from error
