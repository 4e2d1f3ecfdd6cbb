"""The processes that train one model together: which of them this one is, and how they speak with each other.

They are started by `accelerate launch`, `torchrun` or Ray, which say so in the environment; alone, nothing is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from training.errors import ProcessesDiffer

_PATIENCE = timedelta(days=1)
"""The others wait while the main process judges or writes a checkpoint."""


@dataclass
class Team:
    """This process, counted from 0, and how many there are; process 0 is the main one and alone writes."""

    process: int = 0
    processes: int = 1
    device: str = "cpu"
    _met: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process keeps the run."""
        return self.process == 0

    @contextmanager
    def leading(self) -> Iterator[None]:
        """What the main process does; if it ends before the others were met, they are told that nothing comes."""
        try:
            yield
        finally:
            if self.processes > 1 and not self._met:
                self.share(None)

    def share(self, value: Any) -> Any:
        """Gives every process what the main one passes, a JSON-able value; the others pass anything."""
        self._met = True
        if self.processes == 1:
            return value
        import torch
        from torch import distributed

        text = json.dumps(value).encode() if self.is_main else b""
        length = torch.tensor([len(text)], device=self.device)
        distributed.broadcast(length, 0)
        data = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.is_main:
            data.copy_(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        distributed.broadcast(data, 0)
        return json.loads(bytes(data.tolist()))

    def total(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the processes."""
        if self.processes == 1:
            return list(values)
        import torch
        from torch import distributed

        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        found: list[float] = sums.tolist()
        return found

    def agree(self, fingerprint: str) -> None:
        """Sees that a hexadecimal fingerprint is the same everywhere.

        Raises:
            ProcessesDiffer: in every process, if it is not.
        """
        own = float(int(fingerprint[:10], 16))  # exact in a sum of thousands
        if self.total([own])[0] != own * self.processes:
            raise ProcessesDiffer(self.processes)

    def leave(self) -> None:
        """Closes the connections to the others."""
        if self.processes > 1:
            from torch import distributed

            distributed.destroy_process_group()


ALONE = Team()


def joined() -> Team:
    """The team that the environment speaks of, connected; alone where there is none."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Team()
    import torch
    from accelerate import PartialState

    if os.environ.get("MASTER_ADDR", "") in ("localhost", "127.0.0.1", "::1"):
        stay_on_loopback()
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    return Team(state.process_index, state.num_processes, str(state.device))


def stay_on_loopback() -> None:
    """Has gloo speak over this machine's own interface; it would take the one that other machines reach."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address in ("127.0.0.1", "::1") for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            return


def processes_here() -> int:
    """How many processes of the team share this machine's processors."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
