"""The registry: names, their versions, and which of them serves each role; added, promoted and rolled back.

An entry is a folder `home/models/<name>/<version>/` whose manifest is written last; entries that ship with Hearth lie
read-only under `models/shipped/` in the same form.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models import registry_checks as checks
from models.adapted import TASK_CONFIG
from models.catalog import EMBEDDED
from models.errors import ModelNotFound
from models.files import read_json
from models.home import models_folder
from models.manifest import MANIFEST
from models.prepare import locked_folder, make_folder
from models.registry_errors import BadEntryName, NothingToRollBack, NotServing
from models.registry_facts import CARD, Base, Facts, card_of, write_facts
from models.registry_store import Change, RegistryStore, now
from models.registry_view import CANDIDATE, PRODUCTION, Version, View, is_reference, unregistered
from models.roles import check_role, is_role

SHIPPED = Path(__file__).parent / "shipped"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LEFT_OUT = (".*", MANIFEST, "openvino-*")  # a conversion is made anew from the copy
_TAKEN = {"converted", "gguf"}


@dataclass(frozen=True)
class Switch:
    """What a promotion or roll-back did: the labels that served the role before and serve it now, None for none."""

    role: str
    before: str | None
    after: str | None
    at: str | None

    @property
    def changed(self) -> bool:
        """False where the version served already."""
        return self.before != self.after


class Registry:
    """The registry of one home; any number of processes may use it at once.

    Args:
        home: The data folder.
        shipped: Where the entries that come with Hearth lie; the folder may be absent.
    """

    def __init__(self, home: Path, shipped: Path = SHIPPED) -> None:
        self._home = home
        self._shipped = shipped
        self._store = RegistryStore(home, lambda: unregistered(home))

    def add(
        self,
        folder: str | Path,
        name: str,
        role: str,
        *,
        base: Base | None = None,
        labels: Sequence[str] = (),
        metrics: Mapping[str, float] | None = None,
        licence: str | None = None,
        recipe: str | None = None,
        data: str | None = None,
        card: str | None = None,
    ) -> Version:
        """Copies a model or adapter into the registry as the next version of `name`, which becomes `name@candidate`.

        Args:
            folder: A model in safetensors, or a PEFT LoRA adapter.
            name: The entry's name; the first version makes it.
            role: What it is for, one of `models.roles.ROLES`.
            base: An adapter's base as it was when the training began (`Base.of`); None takes the base that its own
                config names, as it is now.
            labels: A classifier's labels in the order of its outputs; empty takes them from its config.
            metrics: Figures of its evaluation by name, shown beside it.
            licence: The licence it may be used under.
            recipe: The recipe of Hearth's own that made it, if one did.
            data: The fingerprint of the recipe's data at that time.
            card: The card in Markdown; None keeps the folder's README.md, or makes one from the facts.

        Raises:
            BadEntryName, UnknownRole: the name or role cannot be.
            ModelNotFound, UnsafeModel, BrokenModel, WrongRole: the folder is no such model.
            BaseDiffers, AdapterMismatch: the adapter does not fit its base.
            HomeNotWritable, RegistryBusy, RegistryBroken: nothing was registered.
        """
        source = Path(folder).expanduser().absolute()
        self._check_name(name)
        check_role(role)
        if not source.is_dir():
            raise ModelNotFound(str(folder), hint=f"There is no model folder {source}: check the path.")
        checks.refuse_unsafe(source, left_out=_LEFT_OUT)
        self._store.begin()  # a file begun after the copy would find this version's folder and count it twice
        parent = models_folder(self._home) / name
        with locked_folder(name, self._home, parent):
            number = 1 + max((row.number for row in self._view().rows if row.name == name), default=0)

            def fill(folder: Path) -> None:
                shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
                facts = self._examine(folder, name, role, base, tuple(labels))
                facts = replace(facts, metrics=dict(metrics or {}), licence=licence, recipe=recipe, data=data)
                write_facts(folder, facts)
                if card is not None or not (folder / CARD).is_file():
                    (folder / CARD).write_text(card or card_of(name, facts), encoding="utf-8")

            # a folder of this number that no row names was left by a process killed before it could register it
            make_folder(
                parent / str(number),
                fill,
                name=name,
                version=str(number),
                made_from={"registry": role},
                on_progress=lambda stage, fraction: None,
            )
            with self._store.transaction() as transaction:
                transaction.add(name, number, role)
        return self.resolve(f"{name}@{number}")

    def versions(self, name: str | None = None) -> list[Version]:
        """Every version whose folder is there, or those of one name, by name and number."""
        return self._view().versions(name)

    def look_up(self, reference: str) -> Version | None:
        """The version that a reference names, or None where no entry has that name.

        `name` alone is its production version where it has one, else its candidate.

        Raises:
            ModelNotFound: the entry is there and has no such version.
            BrokenModel, BaseDiffers: the version's files, or an adapter's base, are not what was registered.
        """
        if not is_reference(reference):  # a path or hub id: a registry that cannot be read does not stand in its way
            return None
        return self._view().look_up(reference, (PRODUCTION, CANDIDATE))

    def resolve(self, reference: str) -> Version:
        """The version that a reference names.

        Raises:
            ModelNotFound: no such entry or version, with the nearest names.
            BrokenModel, BaseDiffers: as for `look_up`.
        """
        view = self._view()
        return view.look_up(reference, (PRODUCTION, CANDIDATE)) or view.unknown(reference)

    def serving(self, role: str) -> Version | None:
        """The version promoted for a role, None where none is.

        Raises:
            BrokenModel, BaseDiffers: its files, or its base, are not what was registered.
        """
        view = self._view()
        promoted = view.state.promoted(role)
        return view.look_up(promoted[-1].label, ()) if promoted else None

    def shipped_for(self, role: str) -> Version | None:
        """The newest entry that came with Hearth for a role."""
        found = [version for version in self.versions() if version.shipped and version.role == role]
        return found[-1] if found else None

    def promote(self, reference: str) -> Switch:
        """Makes a version serve its role; `name` alone means its candidate.

        Raises:
            ModelNotFound, BrokenModel, BaseDiffers: as for `resolve`.
            PromotionRefused: adapter, merged and converted do not behave alike, or a template or tokenizer has changed
                since the training, with the numbers.
        """
        from models.promotion import check_before_promotion

        view = self._view()
        version = view.look_up(reference, (CANDIDATE,)) or view.unknown(reference)
        if PRODUCTION not in version.aliases:
            check_before_promotion(version, self._home)
        with self._store.transaction() as transaction:
            promoted = transaction.state().promoted(version.role)
            before = promoted[-1].label if promoted else None
            if before == version.label:
                return Switch(version.role, before, before, promoted[-1].at)
            change = transaction.change(version.role, "promote", version.name, version.number)
        return Switch(version.role, before, version.label, change.at)

    def rollback(self, role_or_name: str) -> Switch:
        """Gives a role back to what served it before; repeated, it walks back to where no promotion is left.

        Args:
            role_or_name: A role, or the name of the entry that serves one.

        Raises:
            ModelNotFound: no such role or entry.
            NotServing: the entry does not serve its role now.
            NothingToRollBack: no promotion of the role is left.
        """
        role, name = role_or_name, ""
        if not is_role(role_or_name):
            view = self._view()
            name = role_or_name.partition("@")[0]
            role = next((row.role for row in view.rows if row.name == name), None) or view.unknown(role_or_name)
        with self._store.transaction() as transaction:
            promoted = transaction.state().promoted(role)
            if name and (not promoted or promoted[-1].name != name):
                raise NotServing(name, role, promoted[-1].label if promoted else None)
            if not promoted:
                raise NothingToRollBack(role)
            change = transaction.change(role, "rollback", promoted[-1].name, promoted[-1].number)
        return Switch(role, promoted[-1].label, promoted[-2].label if len(promoted) > 1 else None, change.at)

    def history(self, role: str) -> list[Change]:
        """Every promotion and roll-back of a role, oldest first."""
        return [change for change in self._store.state().changes if change.role == role]

    def _examine(
        self,
        folder: Path,
        name: str,
        role: str,
        base: Base | None,
        labels: tuple[str, ...],
    ) -> Facts:
        """Checks a copied folder and gives what it says of itself."""
        if checks.is_adapter(folder):
            base = base or Base.of(checks.base_named_by(folder), self._home)
            weights, config = checks.check_adapter(folder, name, base, self._home), read_json(folder / TASK_CONFIG)
            checks.name_base(folder, base)
        else:
            base = None
            weights, config = checks.check_model(folder, name, role)
        named = config.get("id2label")
        if not labels and role == "classify" and isinstance(named, dict):
            labels = tuple(str(named[key]) for key in sorted(named, key=int))
        return Facts(
            role=role,
            kind="adapter" if base else "model",
            created=now(),
            parameters=weights.parameters,
            size_bytes=weights.size_bytes,
            base=base,
            labels=labels,
        )

    def _view(self) -> View:
        return View(self._home, self._shipped, self._store.state())

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise BadEntryName(name, "it is not such a word")
        if is_role(name):
            raise BadEntryName(name, "a role is called so")
        if name in _TAKEN or "--" in name or name in {entry.name for entry in EMBEDDED}:
            raise BadEntryName(name, "Hearth keeps something else under it")
