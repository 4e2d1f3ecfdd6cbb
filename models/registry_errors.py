"""What can go wrong with the registry of models: one class a cause, with a stable code and its facts as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import ModelError


class RegistryBroken(ModelError):
    """The registry's file is damaged, or a newer Hearth wrote it; nothing is written to it."""

    code = "registry_broken"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"The registry {path} cannot be used ({reason}): put a backup in its place, or move it away, "
            "and the versions in the model folders are registered again, none of them promoted."
        )


class RegistryBusy(ModelError):
    """Another process holds the registry's lock for too long."""

    code = "registry_busy"

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        super().__init__(
            f"Another process has been writing the registry {path} for more than {seconds:.0f} seconds: "
            "wait for it to end, or end it, and try again."
        )


class BadEntryName(ModelError):
    """A name that no registry entry may have."""

    code = "bad_entry_name"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        super().__init__(
            f"The name {name!r} cannot be used for a model because {reason}: "
            "use lowercase letters, digits, dots, dashes and underscores, such as sentiment or my-reranker."
        )


class UnknownRole(ModelError):
    """A role that Hearth does not have; `known` are the nearest that it has."""

    code = "unknown_role"

    def __init__(self, role: str, known: Sequence[str]) -> None:
        self.role = role
        self.known = tuple(known)
        super().__init__(f"There is no role {role!r}; did you mean {' or '.join(self.known)}?")


class NotServing(ModelError):
    """Asked to roll back a model that does not serve."""

    code = "not_serving"

    def __init__(self, name: str, role: str, serving: str | None) -> None:
        self.name = name
        self.serving = serving
        super().__init__(
            f"The model {name} does not serve the role {role} now ({serving or 'no promoted model'} does): "
            f"roll back the role with `hearth models rollback {role}`."
        )


class NothingToRollBack(ModelError):
    """No promotion of this role is left to take back."""

    code = "nothing_to_roll_back"

    def __init__(self, role: str) -> None:
        self.role = role
        super().__init__(
            f"No promotion of the role {role} is left to take back: the settings, the profile or the model that comes "
            "with Hearth serves it (`hearth models list`)."
        )


class PromotionRefused(ModelError):
    """A version whose forms do not behave alike, or that is not shown the texts that it learned from."""

    code = "promotion_refused"

    def __init__(self, label: str, problems: Sequence[str]) -> None:
        self.label = label
        self.problems = tuple(problems)
        super().__init__(
            f"{label} was not promoted because its forms do not behave alike: {'; '.join(self.problems)}; what served "
            "before still does, so train, add or convert it again."
        )


class BaseDiffers(ModelError):
    """An adapter for another base model than the one it is to be used with."""

    code = "base_differs"

    def __init__(self, adapter: str, made_for: str, found: str) -> None:
        self.adapter = adapter
        self.made_for = made_for
        self.found = found
        super().__init__(
            f"The adapter {adapter} was trained on {made_for} and the base here is {found}: "
            "use the base that it was trained on, or train it again."
        )
