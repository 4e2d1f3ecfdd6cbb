"""Settles how the libraries underneath behave, before any of them is imported and reads its environment.

They stay off the network (only `hearth models pull` opens the hub again, for its own process), report nothing home and
leave the CPU to others while they wait. What a person has set already is kept.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_DEFAULTS = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",  # the tokenizer's own threads would fight the model's
    # OpenMP's threads spin at every barrier, by default so long that an answer of 32 tokens beside another busy program
    # took 35 s on two cores; 4 s so. On a quiet machine nothing is lost (with 1000 a third would be).
    "GOMP_SPINCOUNT": "10000",
}


_TRUE = ("1", "on", "yes", "true")
# looked at before Hearth sets them itself, which it does for every process
_asked_offline = any(os.environ.get(name, "").lower() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def asked_offline() -> bool:
    """Whether a person set the hub's libraries offline before Hearth began."""
    return _asked_offline


def go_offline() -> None:
    """Makes the hub libraries use only what is on this machine, whether or not they are imported already."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    _set_hub_offline(True)


def allow_hub() -> None:
    """Lets this process reach the hub; only for an explicit download."""
    _set_hub_offline(False)


_endpoints: set[str] = set()


def allow_endpoint(prefix: str) -> None:
    """Lets the hub's library reach the addresses that begin so, and no others, while this process stays offline."""
    from huggingface_hub import set_client_factory

    if not _endpoints:
        set_client_factory(_endpoint_client)
    _endpoints.add(prefix)


def _endpoint_client() -> httpx.Client:
    import httpx

    return httpx.Client(event_hooks={"request": [_refuse_others]}, follow_redirects=True, timeout=None)


def _refuse_others(request: httpx.Request) -> None:
    from huggingface_hub.utils._http import hf_request_event_hook

    if not any(str(request.url).startswith(prefix) for prefix in _endpoints):
        hf_request_event_hook(request)  # refuses everything while offline


def _set_hub_offline(offline: bool) -> None:
    os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1" if offline else "0"
    # huggingface_hub copies the variable into a constant when it is imported, so a later change must reach that too
    constants = sys.modules.get("huggingface_hub.constants")
    if constants is not None:
        constants.HF_HUB_OFFLINE = offline  # type: ignore[attr-defined]
