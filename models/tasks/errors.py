"""What can go wrong in a language task beyond what can go wrong with any model; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import ModelError
from models.profiles import translator_of_all


class NoTaskModel(ModelError):
    """A task needs a model of its own and none is named in the settings or the call."""

    code = "no_task_model"

    def __init__(self, task: str, *, verb: str, setting: str, examples: Sequence[str], instead: str = "") -> None:
        self.task = task
        self.examples = tuple(examples)
        super().__init__(
            f"No model for {task} is configured and the embedded models cannot do it: fetch one while online, for "
            f"example `hearth models pull {self.examples[0]}` (or {', '.join(self.examples[1:])}), and name it with "
            f"`hearth {verb} --model` or the setting {setting}{instead}."
        )


class EmptyText(ModelError):
    """A text to work on is empty or white space."""

    code = "empty_text"

    def __init__(self, what: str = "text") -> None:
        super().__init__(f"The {what} is empty: give at least one word.")


class TooFewLabels(ModelError):
    """Labels to choose among that leave no choice."""

    code = "too_few_labels"

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        super().__init__(
            f"Classifying needs at least 2 different labels and {len(self.labels)} came "
            f"({', '.join(self.labels) or 'none'}): give them as --labels one,two,..."
        )


class NoMask(ModelError):
    """A text for fill-mask that has no gap to fill."""

    code = "no_mask"

    def __init__(self, mask: str) -> None:
        self.mask = mask
        super().__init__(f"The text has no gap to fill: write {mask} where a word is missing.")


class LanguageNotSupported(ModelError):
    """A translation between languages that the model does not know."""

    code = "language_not_supported"

    def __init__(self, model: str, *, source: str, target: str, known: Sequence[str]) -> None:
        self.model, self.source, self.target, self.known = model, source, target, tuple(known)
        shown = ", ".join(self.known[:12]) + (f" and {len(self.known) - 12} more" if len(self.known) > 12 else "")
        super().__init__(
            f"The model {model} cannot translate from {source} to {target}; it knows {shown}: choose another with "
            f"--model; `hearth models pull {translator_of_all()}` brings one for nearly all pairs."
        )


class LanguageUnclear(ModelError):
    """A text whose language cannot be told, and none was given."""

    code = "language_unclear"

    def __init__(self, text: str) -> None:
        self.text = text
        start = " ".join(text.split())[:40]
        super().__init__(f"The language of {start!r} cannot be told from so little text: name it with --from.")


class BadRow(ModelError):
    """A row of a batch file that cannot be worked on."""

    code = "bad_row"

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file, self.line, self.reason = file, line, reason
        super().__init__(f"Line {line} of {file} {reason}; nothing was written.")


class BadTable(ModelError):
    """A table without a header or rows, or with rows of different lengths."""

    code = "bad_table"
