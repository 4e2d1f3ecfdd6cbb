"""What can go wrong with a task's input files and options; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import ModelError


class UnknownTask(ModelError):
    """A task that the table does not offer."""

    code = "unknown_task"

    def __init__(self, task: str, reason: str = "", known: Sequence[str] = ()) -> None:
        self.task, self.known = task, tuple(known)
        hint = f"did you mean {' or '.join(self.known)}?" if self.known else "`hearth task list` shows the known ones."
        super().__init__(f"The task {task!r} is not offered here: {reason or hint}")


class NoPipelineModel(ModelError):
    """A task needs a model and none is named in the call or the settings."""

    code = "no_task_model"

    def __init__(self, task: str, examples: Sequence[str]) -> None:
        self.task, self.examples = task, tuple(examples)
        super().__init__(
            f"No model for {task} is configured: fetch one while online, for example "
            f"`hearth models pull {self.examples[0]}`, and name it with --model or as "
            f'{task} = "{self.examples[0]}" under [tasks] in hearth.toml.'
        )


class NotALocalFile(ModelError):
    """An input that should be a file on this machine and is something else."""

    code = "not_a_local_file"

    def __init__(self, found: str, reason: str) -> None:
        self.found = found
        super().__init__(f"The input {found[:200]!r} {reason}")


class UnsupportedMedia(ModelError):
    """A file whose format cannot be read here."""

    code = "unsupported_media"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"The file {name} cannot be read: {reason}")


class BrokenMedia(ModelError):
    """A picture, recording or video that is damaged, or made to harm its reader."""

    code = "broken_media"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(f"The file {name} {reason}; use another copy of it.")


class MediaTooLarge(ModelError):
    """A picture, recording or video beyond what is read."""

    code = "media_too_large"

    def __init__(self, name: str, found: str, limit: str) -> None:
        self.name = name
        super().__init__(f"The file {name} has {found} and at most {limit} are read: make it smaller or split it.")


class TaskFailed(ModelError):
    """A model could not do its task with this input."""

    code = "task_failed"

    def __init__(self, task: str, model: str, reason: str) -> None:
        self.task, self.model = task, model
        super().__init__(f"The model {model} failed at {task} ({reason}): try another input, or another model.")


class BadTaskOption(ModelError):
    """An option or input of a task that does not exist, is missing or has an impossible value."""

    code = "bad_option"

    def __init__(self, task: str, reason: str, known: Sequence[str]) -> None:
        self.task, self.known = task, tuple(known)
        super().__init__(f"The task {task} cannot run: {reason}; it takes {', '.join(self.known) or 'none'}.")
