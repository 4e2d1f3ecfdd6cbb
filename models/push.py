"""`hearth models push`: the only part of Hearth that sends a model away, always on a person's explicit word.

What goes is the registry entry's own files with its card, and nothing that names a folder of this machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.environment import allow_hub, asked_offline, go_offline
from models.errors import ModelError
from models.manifest import read_manifest
from models.registry import Registry
from models.registry_facts import ENTRY

if TYPE_CHECKING:
    from models.registry_view import Version

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_RESTRICTED = re.compile(r"research|non-?commercial|\bnc\b", re.IGNORECASE)
_TEXTS = (".json", ".md", ".txt", ".jinja")


class PushRefused(ModelError):
    """A push that was not begun; nothing was sent."""

    code = "push_refused"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"{name} was not pushed, nothing was sent: {reason}.")


class PushFailed(ModelError):
    """A hub that cannot be reached, or that refused what was sent."""

    code = "push_failed"

    def __init__(self, name: str, repo: str, reason: str) -> None:
        self.name, self.repo, self.reason = name, repo, reason
        super().__init__(
            f"{name} could not be pushed to {repo} ({reason}): check the name, what the token may write, and the "
            "connection; the same command carries on."
        )


@dataclass(frozen=True)
class Pushed:
    """What was sent, and where it is now."""

    version: str
    repo: str
    url: str
    commit: str
    files: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return dict(self.__dict__)


def push(reference: str, repo: str, *, home: Path, private: bool = True, licence_confirmed: bool = False) -> Pushed:
    """Sends a registry entry's files to a model repository on the hub, which is made where there is none.

    The address is the hub library's own (HF_ENDPOINT), and so is the token (HF_TOKEN, or what `hf auth login` keeps).

    Args:
        reference: An entry, such as `sentiment` or `sentiment@2`.
        repo: `owner/name`.
        home: The data folder.
        private: Whether a repository that is made now is seen by its owner alone.
        licence_confirmed: A person has said that a model under a restricted licence may be passed on.

    Raises:
        ModelNotFound, BrokenModel, BaseDiffers: as for `Registry.resolve`.
        PushRefused: offline, no token, a licence to be confirmed, or files that name a folder of this machine.
        PushFailed: the hub cannot be reached, or refuses it.
    """
    version = Registry(home).resolve(reference)
    files = _files(version)
    if reason := _refusal(version, files, repo, home, licence_confirmed):
        raise PushRefused(version.label, reason)
    allow_hub()
    try:
        url, commit = _send(version, files, repo, private)
    finally:
        go_offline()
    return Pushed(version.label, repo, url, commit, files)


def _files(version: Version) -> list[str]:
    """The entry's files by its manifest, but what Hearth keeps of it for itself."""
    manifest = read_manifest(version.folder)
    assert manifest is not None, f"{version.label} was resolved without a manifest"
    return sorted(name for name in manifest.files if name != ENTRY)


def _refusal(version: Version, files: list[str], repo: str, home: Path, confirmed: bool) -> str | None:
    """Why a push must not begin; None where it may."""
    from huggingface_hub import get_token

    if asked_offline():
        return "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so this machine stays off the network: unset it first"
    if not _REPO.fullmatch(repo):
        return f"{repo!r} is no repository: name it owner/name"
    if get_token() is None:
        return "there is no token: run `hf auth login`, or set HF_TOKEN to one that may write"
    licence = version.facts.licence
    if not confirmed and (licence is None or _RESTRICTED.search(licence)):
        stated = "states no licence" if licence is None else f"is under the licence {licence!r}"
        return f"it {stated}: add --confirm-licence if you may pass it on"
    for name in files:
        if place := _place_named(version.folder / name, home):
            return (
                f"its file {name} names {place}, a folder of this machine: train it on a hub model's name, or write "
                "the whole model with `hearth models export --to merged` and add that"
            )
    return None


def _place_named(path: Path, home: Path) -> str | None:
    """A folder of this machine that a text file names: the data folder, the person's own, or an adapter's base."""
    if path.suffix not in _TEXTS:
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    own = [f"{folder}/" for folder in (home, Path.home()) if f"{folder}/" in text]
    base = re.search(r'"base_model_name_or_path":\s*"([^"]+)"', text)
    return own[0] if own else base[1] if base and Path(base[1]).is_absolute() else None


def _send(version: Version, files: list[str], repo: str, private: bool) -> tuple[str, str]:
    import httpx
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    operations = [CommitOperationAdd(name, str(version.folder / name)) for name in files]
    try:
        made = api.create_repo(repo, private=private, exist_ok=True)
        commit = api.create_commit(repo, operations, commit_message=f"{version.label} from Hearth")
    # the library raises RuntimeError over a part of an upload, ValueError over an answer that it does not understand
    except (httpx.HTTPError, HfHubHTTPError, OSError, RuntimeError, ValueError) as error:
        raise PushFailed(version.label, repo, _reason(error)) from error
    return str(made), str(commit.oid)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    return " ".join(str(cause).split())[:200] or type(cause).__name__
