"""The profiles: named sets of hub models for small to large machines, and which of them a machine can carry.

The table itself is `profiles.toml`, which says how each fact in it was checked.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.machine import Machine

AUTO, TINY = "auto", "tiny"
PROFILE_NAMES = (TINY, "small", "base", "gpu")
_TABLE = Path(__file__).with_name("profiles.toml")
_BYTES_EACH = 2  # bfloat16
_SPARE_DISK_BYTES = 2 * 10**9  # for the library, conversions and everything else


@dataclass(frozen=True)
class HubModel:
    """A hub model of the table; `languages` are codes, or how many where they are many."""

    name: str
    licence: str
    parameters: int
    context_tokens: int
    languages: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """About what its weights take in bfloat16, on disk and in memory."""
        return self.parameters * _BYTES_EACH


@dataclass(frozen=True)
class EmbeddedWay:
    """How a role is served without any download: by an embedded model, by a rule, or not at all."""

    model: str
    reason: str
    rule: bool = False


@dataclass(frozen=True)
class Profile:
    """A set of hub models by role, with the least machine that it is meant for.

    `strategy` says how its chat model uses tools best: by a `router`, or by itself in a `loop`.
    """

    name: str
    words: str
    memory_bytes: int
    cores: int
    gpu_memory_bytes: int
    strategy: str
    roles: Mapping[str, HubModel]

    @property
    def models(self) -> tuple[HubModel, ...]:
        """Its models, each once."""
        return tuple({model.name: model for model in self.roles.values()}.values())

    def download_bytes(self, pulled: Set[str] = frozenset()) -> int:
        """About what is still to be downloaded."""
        return sum(model.size_bytes for model in self.models if model.name not in pulled)

    def lacking(self, machine: Machine, pulled: Set[str] = frozenset()) -> tuple[str, ...]:
        """What a machine lacks for it, in words; empty where it fits."""
        download = self.download_bytes(pulled)
        wanted = (
            ("memory", self.memory_bytes, machine.memory_bytes),
            ("GPU memory", self.gpu_memory_bytes, machine.gpu_memory_bytes),
            ("free disk", download and download + _SPARE_DISK_BYTES, machine.disk_free_bytes),
        )
        short = [f"{_gb(need)} of {what} ({_gb(there)} here)" for what, need, there in wanted if there < need]
        if machine.cores < self.cores:
            short.insert(0, f"{self.cores} CPU cores ({machine.cores} here)")
        return tuple(short)


@dataclass(frozen=True)
class ProfileChoice:
    """The profile for a machine, why, and what the next larger one would need (None: there is none)."""

    profile: Profile
    reason: str
    next: Profile | None
    next_lacks: tuple[str, ...]


def choose_profile(machine: Machine, wanted: str = AUTO, pulled: Set[str] = frozenset()) -> ProfileChoice:
    """The largest profile that the machine carries, or the one that is wanted by name.

    All of the machine's memory counts and not what is free at the moment: an embedding model that changed with the
    other programs that run would make the library's vectors useless.

    Args:
        machine: Its facts.
        wanted: "auto", or a profile's name.
        pulled: The hub models that lie in the home, which need no disk space any more.
    """
    profiles = all_profiles()
    ordered = [profiles[name] for name in PROFILE_NAMES]
    if wanted == AUTO:
        chosen = next(
            profile for profile in reversed(ordered) if not profile.lacking(machine, pulled) or profile.name == TINY
        )
        reason = f"the largest that fits {describe(machine)}"
    else:
        chosen = profiles[wanted]
        lacks = chosen.lacking(machine, pulled)
        reason = "set by you" + (f", though this machine lacks {', '.join(lacks)}" if lacks else "")
    place = ordered.index(chosen) + 1
    following = ordered[place] if place < len(ordered) else None
    return ProfileChoice(chosen, reason, following, following.lacking(machine, pulled) if following else ())


def describe(machine: Machine) -> str:
    """A machine in a few words."""
    gpu = f" and {machine.gpu} with {_gb(machine.gpu_memory_bytes)}" if machine.gpu_memory_bytes else ", no NVIDIA GPU"
    cores = f"{machine.cores} CPU core{'s' if machine.cores != 1 else ''}"
    return f"{cores}, {_gb(machine.memory_bytes)} of memory{gpu}"


@functools.cache
def all_profiles() -> Mapping[str, Profile]:
    """The profiles by name, as the table has them."""
    table = _table()
    models = {
        name: HubModel(**{"name": name, **facts, "languages": tuple(facts["languages"])})
        for name, facts in table["models"].items()
    }
    return {
        name: Profile(**{"name": name, **facts, "roles": {r: models[m] for r, m in facts.get("roles", {}).items()}})
        for name, facts in table["profiles"].items()
    }


def translator_of_all() -> str:
    """The first translation model of the profiles that knows more languages than the table can list."""
    models = (profile.roles.get("translate") for profile in all_profiles().values())
    return next(model.name for model in models if model and any(named[:1].isdigit() for named in model.languages))


@functools.cache
def embedded_ways() -> Mapping[str, EmbeddedWay]:
    """How each role is served without any download."""
    return {role: EmbeddedWay(**facts) for role, facts in _table()["embedded"].items()}


def largest_first(profile: Profile) -> tuple[Profile, ...]:
    """The profiles up to and with this one that name hub models, the largest first."""
    profiles = all_profiles()
    names = PROFILE_NAMES[1 : PROFILE_NAMES.index(profile.name) + 1]
    return tuple(profiles[name] for name in reversed(names))


def _table() -> dict[str, Any]:
    return tomllib.loads(_TABLE.read_text(encoding="utf-8"))


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / 10**9:.1f} GB"
