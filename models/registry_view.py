"""What the registry holds at one moment: versions with their folders, and the references that name them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

from models.errors import BrokenModel, ModelNotFound
from models.home import models_folder
from models.manifest import intact, read_manifest
from models.registry_errors import BaseDiffers
from models.registry_facts import CARD, ENTRY, Base, Facts, read_facts, weights_sha256
from models.registry_store import Row, State

CANDIDATE, PRODUCTION = "candidate", "production"

_REFERENCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)(@(?P<which>\d+|candidate|production))?")


@dataclass(frozen=True)
class Version:
    """One version of an entry; `aliases` are those of candidate and production that point to it now."""

    name: str
    number: int
    role: str
    folder: Path
    aliases: tuple[str, ...] = ()
    shipped: bool = False

    @property
    def label(self) -> str:
        """`name@number`, as people see and type it."""
        return f"{self.name}@{self.number}"

    @cached_property
    def facts(self) -> Facts:
        """What its `entry.json` says.

        Raises:
            BrokenModel: the file is damaged.
        """
        return read_facts(self.folder)

    @property
    def card(self) -> str:
        """The entry's model card, in Markdown."""
        return (self.folder / CARD).read_text(encoding="utf-8")


def is_reference(word: str) -> bool:
    """Whether a word could name an entry, which a path or a hub id cannot."""
    return _REFERENCE.fullmatch(word) is not None


class View:
    """The registry as one state of its file has it; `shipped` is the folder of the entries that come with Hearth."""

    def __init__(self, home: Path, shipped: Path, state: State) -> None:
        self._home = home
        self._shipped = shipped
        self.state = state

    @cached_property
    def rows(self) -> list[Row]:
        """Every registered version, the shipped ones among them, by name and number."""
        return sorted({*self.state.versions, *_whole_entries(self._shipped)}, key=lambda row: (row.name, row.number))

    def versions(self, name: str | None = None) -> list[Version]:
        """Every version whose folder is there, or those of one name, by name and number."""
        return [self._version(row) for row in self.rows if name in (None, row.name) and self._folder(row).is_dir()]

    def look_up(self, reference: str, preferred: Sequence[str]) -> Version | None:
        """The version that a reference names, or None where no entry has that name.

        Args:
            reference: `name`, `name@3`, `name@candidate` or `name@production`.
            preferred: The aliases that `name` alone stands for, the first that there is.

        Raises:
            ModelNotFound: the entry is there and has no such version.
            BrokenModel, BaseDiffers: the version's files, or an adapter's base, are not what was registered.
        """
        match = _REFERENCE.fullmatch(reference)
        if not match or match["name"] not in {row.name for row in self.rows}:
            return None
        versions = self.versions(match["name"])
        wanted = [match["which"]] if match["which"] else preferred
        for which in wanted:
            for version in versions:
                if which in (str(version.number), *version.aliases):
                    return self._sound(version)
        raise ModelNotFound(reference, hint=_which_there_are(reference, match["name"], versions))

    def unknown(self, reference: str) -> NoReturn:
        """Says that no entry has this name, and which ones come near.

        Raises:
            ModelNotFound: always.
        """
        names = sorted({row.name for row in self.rows})
        near = difflib.get_close_matches(reference.partition("@")[0].lower(), names, n=3, cutoff=0.4) or names
        empty = f"There is no model {reference!r} in the registry, which is empty: add one with `hearth models add`."
        raise ModelNotFound(reference, known=near, hint="" if names else empty)

    def _sound(self, version: Version) -> Version:
        """The version, its files and an adapter's base looked at; sizes and times stand for hashes while they match."""
        manifest = read_manifest(version.folder)
        if manifest is None or not intact(version.folder, manifest):
            raise BrokenModel(
                version.folder,
                f"its files are not those that were registered as {version.label}; add it again, or go back with "
                f"`hearth models rollback {version.role}`",
            )
        base = version.facts.base
        if base:
            from models.catalog import find
            from models.prepare import folder_of, prepared_folder

            entry = find(base.name, None, self._home)
            embedded = entry.kind == "embedded"  # looked at where it lies ready: it need not be prepared for that
            folder = prepared_folder(entry, self._home) if embedded else folder_of(entry, self._home)
            if folder and read_manifest(folder) and (found := weights_sha256(folder)) != base.weights_sha256:
                raise BaseDiffers(version.label, made_for=base.label, found=Base(base.name, found).label)
        return version

    def _folder(self, row: Row) -> Path:
        own = models_folder(self._home) / row.name / str(row.number)
        return own if own.is_dir() else self._shipped / row.name / str(row.number)

    def _version(self, row: Row) -> Version:
        folder = self._folder(row)
        promoted = self.state.promoted(row.role)
        serves = bool(promoted) and (promoted[-1].name, promoted[-1].number) == (row.name, row.number)
        newest = max(other.number for other in self.rows if other.name == row.name) == row.number
        aliases = (*([PRODUCTION] if serves else []), *([CANDIDATE] if newest else []))
        shipped = folder.is_relative_to(self._shipped)
        return Version(row.name, row.number, row.role, folder, aliases, shipped)


def unregistered(home: Path) -> list[Row]:
    """The entries whose folders lie whole in the home, for a registry whose file is gone."""
    return _whole_entries(models_folder(home))


def _whole_entries(parent: Path) -> list[Row]:
    """The entries under a folder by what their manifests say; folders of other kinds are passed over."""
    rows = []
    for path in sorted(parent.glob(f"*/*/{ENTRY}")):
        manifest = read_manifest(path.parent)
        if manifest and path.parent.name.isdigit() and "registry" in manifest.made_from:
            rows.append(Row(manifest.name, int(path.parent.name), manifest.made_from["registry"], ""))
    return rows


def _which_there_are(reference: str, name: str, versions: Sequence[Version]) -> str:
    there = [" ".join((version.label, *(f"({alias})" for alias in version.aliases))) for version in versions]
    known = ", ".join(there) or "none, their folders are gone"
    return f"There is no version {reference}; of {name} there are: {known}."
