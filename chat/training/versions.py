"""What became of a run: the registry entry made of it, whether it serves, and the older model to hold it against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chat.training.process import ask, read
from models.catalog import DEFAULTS
from models.registry import Registry
from models.registry_view import Version
from models.trial import Trial, try_role
from training.publish import PUBLISHED


def made_of(home: Path, folder: Path) -> Version | None:
    """The registry entry that was made of a run; None before it is published.

    Raises:
        ModelError: its files are not what was registered.
    """
    label = read(folder / PUBLISHED).get("name")
    return Registry(home).look_up(label) if label else None


def serves(home: Path, version: Version) -> bool:
    """Whether a version serves its role now."""
    now = Registry(home).serving(version.role)
    return now is not None and now.label == version.label


def older(home: Path, version: Version) -> str | None:
    """The model that a version is held against: what serves now, or what served before it; None where nothing did."""
    promoted: list[str] = []
    for change in Registry(home).history(version.role):
        if change.action == "promote":
            promoted.append(change.label)
        elif promoted:
            promoted.pop()
    others = [label for label in promoted if label != version.label]
    default = {str(role): entry.name for role, entry in DEFAULTS.items()}.get(version.role)
    return others[-1] if others else default


def try_both(house: Any, version: Version, text: str) -> list[Trial]:
    """One text given to the older model, where there is one, and to a version; loads models, so call it in a thread."""
    home: Path = house.settings.home
    names = [name for name in (older(home, version), version.label) if name]
    return [try_role(house, version.role, name, text) for name in names]


async def publish(home: Path, folder: Path) -> dict[str, Any]:
    """Makes a registry entry of a run; gives `hearth train publish`'s facts.

    Raises:
        CommandFailed: as that command fails.
    """
    return await ask(home, "train", "publish", str(folder))


async def promote(home: Path, version: Version) -> dict[str, Any]:
    """Lets a version serve its role; gives `hearth models promote`'s facts.

    Raises:
        CommandFailed: as that command fails.
    """
    return await ask(home, "models", "promote", version.label)


async def roll_back(home: Path, version: Version) -> dict[str, Any]:
    """Gives the role back to what served before; gives `hearth models rollback`'s facts.

    Raises:
        CommandFailed: as that command fails.
    """
    return await ask(home, "models", "rollback", version.name)
