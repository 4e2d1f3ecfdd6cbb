"""The assistant over the person's own documents: `Assistant` for Python callers, events for screens.

Names load on first use, so importing the room costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.assistant import Assistant
    from agent.events import Answer, Source
    from agent.settings import Settings, load_settings

__all__ = ["Answer", "Assistant", "Settings", "Source", "load_settings"]

_HOMES = {
    "Assistant": "agent.assistant",
    "Answer": "agent.events",
    "Source": "agent.events",
    "Settings": "agent.settings",
    "load_settings": "agent.settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'agent' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
