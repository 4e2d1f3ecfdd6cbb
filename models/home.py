"""The one data folder: everything Hearth keeps lies under it, and copying it is a backup.

This is the only place that reads HEARTH_HOME; nothing is created here.
"""

from __future__ import annotations

import os
from pathlib import Path


def data_home(override: str | Path | None = None) -> Path:
    """The absolute data folder: `override`, else HEARTH_HOME, else the platform's user data folder.

    The folder need not exist yet. `~` is expanded.
    """
    chosen = override or os.environ.get("HEARTH_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs  # only here: an explicit home needs no lookup of the platform's

    return Path(platformdirs.user_data_dir("hearth", appauthor=False))


def models_folder(home: Path) -> Path:
    """Where models lie: `<home>/models/<name>/<version>/`."""
    return home / "models"
