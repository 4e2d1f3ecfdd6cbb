"""The doctor's checks of the models: the profile, what serves each role and why, and how fast it is here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.assembly import House
from agent.checks import Check
from models.errors import ModelError

if TYPE_CHECKING:
    from models.calibration import Calibration
    from models.serving import Roles, Serving


def examine_models(house: House, *, calibrate: bool) -> Iterator[Check]:
    """The profile, each role, the speed and what the next larger profile would need.

    Args:
        house: The home and settings to look at.
        calibrate: Measure the speed even where it is known.
    """
    roles = house.roles()
    yield _profile(roles)
    servings = roles.all()
    yield from (_role(house, serving) for serving in servings)
    if not all(_ready(house, serving) for serving in servings if serving.role in ("chat", "embed")):
        yield Check("speed", True, "measured once the models are prepared", "hearth models prepare")
        yield _next(roles, None)
        return
    measured = _speed(house, roles, calibrate)
    if isinstance(measured, Check):
        yield measured
        yield _next(roles, None)
        return
    yield Check(
        "speed",
        True,
        f"{measured.chat} writes {measured.tokens_per_second:.0f} tokens/s with {measured.engine}; {measured.embed} "
        f"embeds {measured.chunks_per_second:.0f} passages/s; memory is read at "
        f"{measured.memory_bytes_per_second / 10**9:.0f} GB/s{_not_pulled_speed(roles, measured)}",
    )
    yield _next(roles, measured)


def _profile(roles: Roles) -> Check:
    """Which profile, why, what of it is not pulled, and whether its largest model would find room now."""
    profile = roles.choice.profile
    missing = [model.name for model in profile.models if model.name not in roles.pulled]
    found = f"{profile.name}, {roles.choice.reason}"
    largest = max((model.size_bytes for model in profile.models), default=0)
    if not profile.gpu_memory_bytes and largest > roles.machine.free_memory_bytes:
        free = roles.machine.free_memory_bytes / 10**9
        found += f"; its largest model takes {largest / 10**9:.1f} GB and {free:.1f} GB are free now"
        return Check("profile", False, found, 'close other programs, or set profile = "tiny"')
    if not missing:
        return Check("profile", True, found)
    size = profile.download_bytes(roles.pulled) / 10**9
    found += f"; {len(missing)} of its {len(profile.models)} models are not pulled ({size:.1f} GB)"
    return Check("profile", True, found, f"hearth models pull --profile {profile.name}")


def _role(house: House, serving: Serving) -> Check:
    """One role; what the settings or the registry name must be there, everything else may be missing."""
    name = f"role {serving.role}"
    if serving.origin == "nothing" and serving.mend and serving.mend.startswith("hearth models rollback"):
        return Check(name, False, serving.reason, serving.mend)
    if serving.name is not None:
        try:
            _refuse_absent(house, serving)
        except ModelError as error:
            return Check(name, False, f"{serving.model}: {error}", "hearth models list")
    found = f"{serving.model}: {serving.reason}" if serving.model else f"no model: {serving.reason}"
    if serving.role in ("chat", "embed") and not _ready(house, serving):
        return Check(name, True, f"{found}; prepared at the first use", "hearth models prepare")
    return Check(name, True, found, serving.mend if serving.origin == "nothing" else None)


def _refuse_absent(house: House, serving: Serving) -> None:
    """Raises where a named model is not on this machine; nothing is loaded, prepared or asked over the network."""
    from models.catalog import find
    from models.encoder_files import encoder_folder
    from models.files import read_config
    from models.prepare import folder_of, prepared_folder, wheel_file

    entry = find(serving.name, None, house.home)
    if entry.kind == "embedded":
        if prepared_folder(entry, house.home) is None:
            wheel_file(entry)
    elif entry.kind in ("hub", "folder"):
        read_config(encoder_folder(folder_of(entry, house.home)))


def _ready(house: House, serving: Serving) -> bool:
    """Whether an embedded model, or the embedded base of an adapter, is prepared."""
    from models.catalog import find
    from models.prepare import prepared_folder
    from models.registry_facts import ENTRY, read_facts

    try:
        entry = find(serving.name, None, house.home)
        folder = Path(entry.source)
        if (folder / ENTRY).is_file() and (base := read_facts(folder).base):
            entry = find(base.name, None, house.home)
        return entry.kind != "embedded" or prepared_folder(entry, house.home) is not None
    except ModelError:
        return False


def _speed(house: House, roles: Roles, calibrate: bool) -> Calibration | Check:
    from models.calibration import cached
    from models.calibration import calibrate as measure
    from models.chat import LocalChatModel
    from models.embeddings import LocalEmbeddings

    try:
        chat, embeddings = house.chat_model(), house.embeddings()
        if not isinstance(chat, LocalChatModel) or not isinstance(embeddings, LocalEmbeddings):
            return Check("speed", True, "not measured: a model on another machine serves")
        known = None if calibrate else cached(house.home, roles.machine, chat, embeddings)
        return known or measure(house.home, roles.machine, chat, embeddings)
    except ModelError as error:
        return Check("speed", False, str(error), "hearth models list")


def _not_pulled_speed(roles: Roles, measured: Calibration) -> str:
    """What the profile's own chat model would do here, where it does not serve yet."""
    wanted = roles.choice.profile.roles.get("chat")
    if wanted is None or wanted.name in roles.pulled:
        return ""
    tokens = measured.tokens_per_second_of(wanted.parameters)
    return f"; {wanted.name} of the profile {roles.choice.profile.name} would write about {tokens:.1f} tokens/s"


def _next(roles: Roles, measured: Calibration | None) -> Check:
    """What the profile after this one would need and bring."""
    choice = roles.choice
    if choice.next is None:
        return Check("next profile", True, f"{choice.profile.name} is the largest")
    needs = f"needs {', '.join(choice.next_lacks)}" if choice.next_lacks else "would fit this machine"
    chat = choice.next.roles["chat"]
    speed = ""
    if measured and not (choice.next.gpu_memory_bytes and not roles.machine.gpu_memory_bytes):
        tokens = measured.tokens_per_second_of(chat.parameters)
        speed = f"; its chat model {chat.name} would write about {tokens:.1f} tokens/s here"
    mend = None if choice.next_lacks else f"hearth models pull --profile {choice.next.name}"
    return Check("next profile", True, f"{choice.next.name} {needs}{speed}", mend)
