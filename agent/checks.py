"""One check of `hearth doctor`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, whether it is as it should be, and the command that mends it."""

    name: str
    ok: bool
    found: str
    mend: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The check as `hearth doctor --json` prints it."""
        return asdict(self)
