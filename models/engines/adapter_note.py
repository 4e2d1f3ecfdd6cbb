"""What a parity check said of an adapter on its converted base, kept beside that base, so that it is made once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from models.engines.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from models.manifest import read_manifest, sha256_of


class AdapterNote:
    """The figures of one adapter's check, or its refusal; gone when the adapter or the converted base changes."""

    def __init__(self, converted: Path, adapter: Path) -> None:
        """Args:
        converted: The folder of the converted base.
        adapter: The adapter's folder.
        """
        self._converted, self._adapter = converted, adapter

    def read(self) -> dict[str, Any] | None:
        """`{"report": ...}` or `{"message": ...}`; None where no check of these very files was made."""
        try:
            value = json.loads(self._path().read_text(encoding="utf-8"))
            return dict(value) if value["made_from"] == self._made_from() else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, value: dict[str, Any]) -> None:
        """Keeps what `read` gives."""
        text = json.dumps({"made_from": self._made_from(), "adapter": str(self._adapter), **value}, indent=1)
        self._path().write_text(text, encoding="utf-8")

    def _made_from(self) -> dict[str, Any]:
        manifest = read_manifest(self._converted)
        own = {name: sha256_of(self._adapter / name) for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)}
        return {**own, "base": manifest.made_from if manifest else None}

    def _path(self) -> Path:
        place = hashlib.sha256(str(self._adapter.resolve()).encode()).hexdigest()[:16]
        return self._converted.with_name(f"{self._converted.name}.adapter-{place}.json")
