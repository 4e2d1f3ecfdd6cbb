"""Chainlit made ready before it is imported: its folder, its environment, its settings.

Chainlit reads the environment and writes files as soon as it is imported (FAULTS C2, C11), so all of this comes first.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from chat.errors import HomeNotWritable

SHIPPED = Path(__file__).parent / "page"
_FOLDER_PREFIX = "page-"
_LOCK = "in-use.lock"
_UPLOAD_UNIT = 2**20

# Variables that make Chainlit talk to other hosts, open other doors or read other settings.
_FOREIGN_VARIABLES = (
    "LITERAL_API_KEY", "LITERAL_API_URL", "DATABASE_URL", "BUCKET_NAME", "CHAINLIT_AUTH_SECRET", "CHAINLIT_ROOT_PATH",
    "CHAINLIT_PARENT_ROOT_PATH", "CHAINLIT_URL", "CHAINLIT_CUSTOM_AUTH", "DISCORD_BOT_TOKEN", "SLACK_BOT_TOKEN",
    "SLACK_SIGNING_SECRET", "SLACK_WEBSOCKET_TOKEN", "TEAMS_APP_ID", "TEAMS_APP_PASSWORD",
)  # fmt: skip


class PageFolder:
    """The folder that one running page keeps its short-lived files in; removed when the page ends.

    Chainlit deletes its upload folder at its end, so two pages on one home must not share it.
    """

    def __init__(self, home: Path) -> None:
        parent = home / "chat"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(parent)
            self.path = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
            self._lock = FileLock(self.path / _LOCK)
            self._lock.acquire(timeout=0)
            _write_page_files(self.path)
        except OSError as error:
            raise HomeNotWritable(home, error.strerror or str(error)) from error

    def remove(self) -> None:
        """Delete everything in it."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def set_environment(folder: Path, cookie_name: str, *, keeps_providers: bool = False) -> None:
    """Point Chainlit at our folder and cookie and away from everything else; must run before it is imported.

    Args:
        folder: the page's own.
        cookie_name: what the sign-in's cookie is called.
        keeps_providers: leave the variables of OAuth providers, which are off otherwise.
    """
    for name in list(os.environ):
        if name in _FOREIGN_VARIABLES or (name.startswith("OAUTH_") and not keeps_providers):
            del os.environ[name]
    os.environ.update(
        CHAINLIT_APP_ROOT=str(folder),
        # A `.env` of whatever folder the person happens to stand in is none of our business.
        CHAINLIT_ENV_FILE=os.devnull,
        CHAINLIT_AUTH_COOKIE_NAME=cookie_name,
        CHAINLIT_COOKIE_SAMESITE="strict",
        TRACELOOP_TELEMETRY="false",
        OTEL_SDK_DISABLED="true",
        LANGSMITH_TRACING="false",
    )


def apply_settings(config: Any, *, origins: list[str], upload_limit_bytes: int) -> None:
    """Put what depends on this machine into Chainlit's own settings object, before its server is imported."""
    config.project.allow_origins = origins
    config.features.spontaneous_file_upload.max_size_mb = max(1, upload_limit_bytes // _UPLOAD_UNIT)
    # Null would not do: the page takes it for a theme of that name.
    config.ui.default_theme = "system"


def _remove_abandoned(parent: Path) -> None:
    """Delete the folders of pages that were killed; a living page holds its lock."""
    for folder in parent.glob(_FOLDER_PREFIX + "*"):
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _write_page_files(folder: Path) -> None:
    shutil.copytree(SHIPPED / "public", folder / "public")
    shutil.copyfile(SHIPPED / "chainlit.md", folder / "chainlit.md")
    (folder / ".chainlit" / "translations").mkdir(parents=True)
    shutil.copyfile(SHIPPED / "config.toml", folder / ".chainlit" / "config.toml")
    texts = _merged(_chainlit_texts(), json.loads((SHIPPED / "texts.en-US.json").read_text(encoding="utf-8")))
    target = folder / ".chainlit" / "translations" / "en-US.json"
    target.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")


def _chainlit_texts() -> dict[str, Any]:
    """The English texts of the installed Chainlit, found without importing it."""
    spec = importlib.util.find_spec("chainlit")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("chainlit is a dependency of this package and is not installed")
    text = (Path(spec.origin).parent / "translations" / "en-US.json").read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text)
    return value


def _merged(base: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in ours.items():
        merged[key] = _merged(base[key], value) if isinstance(value, dict) else value
    return merged
