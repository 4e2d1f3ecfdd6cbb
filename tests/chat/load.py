"""Many simulated users at one real page: what each asked and read, and when the model's turn was free again.

Used by the exact small run of the tests and by `tests/benchmarks/bench_chat.py`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chat.chat_client import ChatClient
from tests.chat.serve_load import KEY
from tests.chat.server_process import ServerProcess, free_port

_SECONDS_FOR_ALL = 300.0


@dataclass(frozen=True)
class Asked:
    """One message of one user: its key, the texts that the page then showed, and the seconds until it was done."""

    key: str
    texts: tuple[str, ...]
    seconds: float

    @property
    def was_answered(self) -> bool:
        """Whether its own answer came, whole."""
        return any(text.startswith(self.key) and f"end-of-{self.key}" in text for text in self.texts)

    @property
    def was_told_to_wait(self) -> bool:
        """Whether it was refused as the queue is full, in words."""
        return any("(`busy`)" in text for text in self.texts)

    @property
    def crossed(self) -> list[str]:
        """Keys of other messages that were shown."""
        return sorted({key for text in self.texts for key in KEY.findall(text)} - {self.key})


def load_server(folder: Path, seconds_a_word: float) -> ServerProcess:
    """The page over the paced model."""
    script = Path(__file__).with_name("serve_load.py")
    command = [sys.executable, str(script), str(folder / "home"), str(free_port()), str(seconds_a_word)]
    return ServerProcess(command, folder / "server.log")


class Seen:
    """What the server wrote down, read anew each time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "home" / "load.jsonl"

    def turns(self) -> dict[str, dict[str, Any]]:
        """Who held the model's turn, by key, with the moments at which it was taken and given back."""
        return {line["key"]: line for line in self._lines("turn")}

    def lateness_ms(self, since: float = 0.0) -> list[float]:
        """How late the event loop was at each look from a moment on."""
        return [ms for line in self._lines("late") if line["at"] >= since for ms in line["milliseconds"]]

    def _lines(self, kind: str) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        whole = self._path.read_text().splitlines(keepends=True)
        lines = [json.loads(line) for line in whole if line.endswith("\n")]
        return [line for line in lines if line["kind"] == kind]


async def ask(client: ChatClient, key: str, words: int) -> Asked:
    """One message and all that the page shows of its answer."""
    began, client.events[:] = time.monotonic(), []
    await client.say(f"{key} words-{words}")
    await client.answered(_SECONDS_FOR_ALL)
    return Asked(key, tuple(client.texts()), time.monotonic() - began)


async def ask_together(clients: Iterable[ChatClient], rounds: int, words: int, name: str = "a") -> list[Asked]:
    """Every user asks `rounds` messages, each as soon as the one before is done, all users at once."""

    async def one(number: int, client: ChatClient) -> list[Asked]:
        return [await ask(client, f"key-{name}{number}-{turn}", words) for turn in range(rounds)]

    told = await asyncio.gather(*(one(number, client) for number, client in enumerate(clients)))
    return [asked for of_one in told for asked in of_one]


async def cut_short(client: ChatClient, key: str, seen: Seen, *, leave: bool) -> float:
    """Stop an answer that is being written, or close the page; milliseconds until the model's turn was free."""
    client.events.clear()
    await client.say(f"{key} words-5000")
    await client.until(lambda: client.saw("stream_token"))
    moment = time.monotonic()
    await (client.leave() if leave else client.stop())
    await client.until(lambda: key in seen.turns())
    return (seen.turns()[key]["ended"] - moment) * 1000
