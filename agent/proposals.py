"""Calls with an effect that wait for a person's word; nothing is done with one until its id is confirmed."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from agent.errors import UnknownProposal
from agent.events import Proposed

_KEPT = 100


class Proposals:
    """The proposals of one assistant; safe to use from several threads, the oldest are forgotten first."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Proposed] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, tool: str, arguments: Mapping[str, Any]) -> Proposed:
        """Keep a call for later and give the event that shows it."""
        proposed = Proposed(uuid.uuid4().hex, tool, dict(arguments))
        with self._lock:
            self._waiting[proposed.id] = proposed
            while len(self._waiting) > _KEPT:
                self._waiting.popitem(last=False)
        return proposed

    def take(self, proposal: str) -> Proposed:
        """The proposal, which waits no longer.

        Raises:
            UnknownProposal: none of that id waits.
        """
        with self._lock:
            if proposal not in self._waiting:
                raise UnknownProposal(proposal)
            return self._waiting.pop(proposal)
