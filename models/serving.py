"""The one place that answers which model serves a role now, and why.

In order: the setting that names one, the version promoted in the registry, the profile's hub model where it is pulled,
an entry that ships with Hearth, and what the embedded models and plain rules can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from models.catalog import DEFAULTS, Entry
from models.errors import ModelError
from models.machine import Machine, machine_of
from models.profiles import AUTO, TINY, HubModel, ProfileChoice, choose_profile, embedded_ways, largest_first
from models.registry import Registry
from models.roles import ROLES, check_role

Origin = Literal["setting", "registry", "profile", "shipped", "embedded", "rule", "nothing"]

# by the setting `tasks`, whose names are those of the pipeline tasks
_PIPELINE_TASKS = {"vision": "image-text-to-text", "speech": "automatic-speech-recognition"}
# Nothing in Hearth opens a hub model for this, so a pulled one serves only where it is promoted by hand.
_BY_RULE_ALONE = ("route",)
# What comes with Hearth for this has labels of its own: who wants them names it (`hearth classify --model intents`).
_BY_NAME_ALONE = ("classify",)


@dataclass(frozen=True)
class Serving:
    """What serves a role.

    `name` is what to open, None where no model of its own is opened (`model` then names the embedded model that does
    the work, or is empty); `mend` is the command that brings a better one, which only `Roles.all` looks for.
    """

    role: str
    name: str | None
    model: str
    origin: Origin
    reason: str
    mend: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts by name."""
        return asdict(self)


class Roles:
    """Which model serves each role of one home.

    Args:
        home: The data folder.
        configured: Role to model name, as the settings have it; empty names count as none.
        profile: "auto", or a profile's name.
        machine: Gives this machine's facts; asked once, and only where something is pulled or the choice is shown.
    """

    def __init__(
        self,
        home: Path,
        *,
        configured: Mapping[str, str] | None = None,
        profile: str = AUTO,
        machine: Callable[[], Machine] | None = None,
    ) -> None:
        self._home = home
        self._configured = {role: name for role, name in (configured or {}).items() if name}
        self._profile = profile
        self._machine = machine or (lambda: machine_of(home))
        self.registry = Registry(home)

    @classmethod
    def of(cls, house: Any) -> Roles:
        """The roles of an opened house (agent/assembly.py), which keeps them; else new ones by its settings."""
        if hasattr(house, "roles"):
            kept: Roles = house.roles()
            return kept
        return cls.by_settings(house)

    @classmethod
    def by_settings(cls, house: Any) -> Roles:
        """The roles as the settings of a house have them; a house without settings names no model."""
        settings = getattr(house, "settings", None)
        tasks: Mapping[str, str] = getattr(settings, "tasks", None) or {}
        named = {role: str(getattr(settings, setting_of(role), "") or "") for role in ROLES}
        named |= {role: tasks.get(task, "") for role, task in _PIPELINE_TASKS.items()}
        return cls(house.home, configured=named, profile=str(getattr(settings, "profile", AUTO)))

    @cached_property
    def machine(self) -> Machine:
        """This machine's facts, asked once."""
        return self._machine()

    @cached_property
    def choice(self) -> ProfileChoice:
        """The profile for this machine, or the one that the setting names."""
        return choose_profile(self.machine, self._profile, self.pulled)

    @cached_property
    def pulled(self) -> frozenset[str]:
        """The hub models that lie in the home."""
        from models.pull import pulled_models

        return frozenset(entry.source for entry, _ in pulled_models(self._home))

    def serving(self, role: str) -> Serving:
        """What serves a role now.

        Raises:
            UnknownRole: there is no such role.
            RegistryBroken, BrokenModel, BaseDiffers: what was promoted cannot serve; another model is not taken for it.
        """
        check_role(role)
        if role in self._configured:
            name = self._configured[role]
            return Serving(role, name, name, "setting", f"the setting {setting_of(role)} names it")
        version = self.registry.serving(role)
        if version:
            return Serving(role, version.label, version.label, "registry", "promoted in the registry")
        return self._from_profile(role) or self._comes_with_hearth(role)

    def all(self) -> list[Serving]:
        """What serves each role, in the order of `ROLES`, with what mends it; where that fails, the reason says how."""
        found = []
        for role in ROLES:
            try:
                serving = self.serving(role)
                found.append(replace(serving, mend=self._mend_for(serving)))
            except ModelError as error:
                found.append(Serving(role, None, "", "nothing", str(error), f"hearth models rollback {role}"))
        return found

    def task_models(self, configured: Mapping[str, str]) -> dict[str, str]:
        """The models of the pipeline tasks: those of the setting `tasks`, and what serves pictures and speech."""
        serving = {task: self.serving(role).name for role, task in _PIPELINE_TASKS.items()}
        return {task: name for task, name in serving.items() if name} | dict(configured)

    def _from_profile(self, role: str) -> Serving | None:
        from models.pull import pulled_folder

        if self._profile == TINY or not self.pulled or role in _BY_RULE_ALONE:
            return None
        for profile in largest_first(self.choice.profile):
            model = profile.roles.get(role)
            if model and model.name in self.pulled and pulled_folder(_hub_entry(model), self._home):
                return Serving(role, model.name, model.name, "profile", f"pulled, of the profile {profile.name}")
        return None

    def _comes_with_hearth(self, role: str) -> Serving:
        shipped = None if role in _BY_NAME_ALONE else self.registry.shipped_for(role)
        if shipped:
            return Serving(role, shipped.label, shipped.label, "shipped", "comes with Hearth, trained with its recipes")
        way = embedded_ways()[role]
        if role in DEFAULTS:
            return Serving(role, way.model, way.model, "embedded", way.reason)
        origin: Origin = "embedded" if way.model else "rule" if way.rule else "nothing"
        return Serving(role, None, way.model, origin, way.reason)

    def _mend_for(self, serving: Serving) -> str | None:
        """The command that brings the profile's model for a role that something less serves."""
        if serving.origin in ("setting", "registry") or serving.role in _BY_RULE_ALONE:
            return None
        wanted = self.choice.profile.roles.get(serving.role)
        return f"hearth models pull {wanted.name}" if wanted and wanted.name != serving.name else None


def setting_of(role: str) -> str:
    """The name of the setting that names a role's model, such as `zero_shot_model`."""
    if role in _PIPELINE_TASKS:
        return f"tasks.{_PIPELINE_TASKS[role]}"
    return f"{role.replace('-', '_')}_model"


def _hub_entry(model: HubModel) -> Entry:
    return Entry(name=model.name, kind="hub", source=model.name)
