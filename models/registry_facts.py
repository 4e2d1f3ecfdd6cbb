"""What a registry entry's folder says of itself: `entry.json`, beside the weights, the card and the manifest.

The file is written once, when the entry is added, and the manifest holds its hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from models.errors import BrokenModel
from models.manifest import read_manifest, sha256_of

ENTRY = "entry.json"
CARD = "README.md"
_FORMAT = 1


@dataclass(frozen=True)
class Base:
    """The model that an adapter was trained on: its name, revision and the SHA-256 of its weights."""

    name: str
    weights_sha256: str
    revision: str | None = None

    @classmethod
    def of(cls, name: str, home: Path) -> Base:
        """The base as it lies on this machine now; what a training records before it starts.

        Raises:
            ModelNotFound, WeightsMissing: it is not on this machine.
        """
        from models.catalog import find
        from models.prepare import folder_of

        entry = find(name, None, home)
        return cls(entry.name, weights_sha256(folder_of(entry, home)), entry.revision)

    @property
    def label(self) -> str:
        """The name, and enough of the hash to tell two apart."""
        return f"{self.name} ({self.weights_sha256[:12]})"


@dataclass(frozen=True)
class Facts:
    """What is known of an entry.

    `metrics` maps a metric's name to its value; `created` is UTC in ISO 8601; `parameters` and `size_bytes` count the
    entry's own weights, an adapter's without its base. `recipe` names the recipe of Hearth's own that made it, whose
    data had the fingerprint `data`.
    """

    role: str
    kind: Literal["model", "adapter"]
    created: str
    parameters: int
    size_bytes: int
    base: Base | None = None
    labels: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str | None = None
    recipe: str | None = None
    data: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts as `entry.json` and `hearth models show --json` give them."""
        return {
            **self.__dict__,
            "base": dict(self.base.__dict__) if self.base else None,
            "labels": list(self.labels),
            "metrics": dict(self.metrics),
        }


def write_facts(folder: Path, facts: Facts) -> None:
    """Writes `entry.json`."""
    text = json.dumps({"format": _FORMAT, **facts.to_json()}, indent=1, ensure_ascii=False)
    (folder / ENTRY).write_text(text, encoding="utf-8")


def read_facts(folder: Path) -> Facts:
    """What `entry.json` says.

    Raises:
        BrokenModel: it is missing, unreadable or from a newer Hearth.
    """
    try:
        value = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        if value.pop("format") != _FORMAT:
            raise BrokenModel(folder, f"its {ENTRY} is in a format that this Hearth does not know")
        base = value.pop("base")
        return Facts(**{**value, "labels": tuple(value["labels"]), "base": Base(**base) if base else None})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModel(folder, f"its {ENTRY} is missing or cannot be read") from error


def weights_sha256(folder: Path) -> str:
    """The one hash of a model folder's weights, from its manifest where it has one."""
    manifest = read_manifest(folder)
    if manifest:
        return manifest.weights_sha256()
    import hashlib

    from models.encoder_files import encoder_folder
    from models.files import read_weights

    hashes = [sha256_of(path) for path in read_weights(encoder_folder(folder)).files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def card_of(name: str, facts: Facts) -> str:
    """A card made from the facts, for an entry that came without one."""
    lines = [f"# {name}", "", f"Role: {facts.role}. Made: {facts.created}. Licence: {facts.licence or 'not stated'}."]
    if facts.base:
        lines.append(f"An adapter on {facts.base.label}.")
    if facts.labels:
        lines.append(f"Labels: {', '.join(facts.labels)}.")
    lines += ["", *(f"- {metric}: {value:g}" for metric, value in facts.metrics.items())]
    return "\n".join(lines).rstrip() + "\n"
