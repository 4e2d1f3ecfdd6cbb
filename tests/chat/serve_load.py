"""Starts the real page over the real assistant and a model that writes words at a set pace; run as a program.

What only the server can know goes as lines of JSON into a file: who held the model's turn and for how long, and how
late the event loop was. The clocks of processes on one machine agree.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Unpack, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from agent.assembly import House
from agent.assistant import Assistant
from agent.events import Event
from agent.request import Options
from agent.settings import Settings, load_settings
from chat.serve import run
from models.scheduler import process_scheduler
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.doubles_assistant import ScriptedHouse
from tests.doubles_model import ScriptedChatModel

KEY = re.compile(r"\bkey-[0-9a-z-]+")
"""What a question is known by; the model's answer begins with it and repeats it in its last word."""
_SECONDS_BETWEEN_LOOKS = 0.01


class Record:
    """The file of what was seen, one line of JSON each, written at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, **facts: Any) -> None:
        """One line, whole, whichever thread writes it."""
        with self._lock:
            self._file.write(json.dumps(facts) + "\n")


class PacedModel(ScriptedChatModel):
    """Answers a question with its key and as many words as `words-N` in it says, holding the model's turn meanwhile."""

    record: Any

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = str(messages[-1].text)
        key = KEY.findall(asked)[-1]
        count = int(re.findall(r"words-(\d+)", asked)[-1])
        one = PacedModel(
            record=self.record,
            replies=[" ".join([key, *(f"word{number}" for number in range(count)), f"end-of-{key}"])],
            seconds_a_word=self.seconds_a_word,
        )
        with process_scheduler().slot("", kwargs["cancel"]):
            begun = time.monotonic()
            try:
                yield from super(PacedModel, one)._stream(messages, stop, run_manager, **kwargs)
            finally:
                self.record.add(kind="turn", key=key, begun=begun, ended=time.monotonic())


class WatchedAssistant(Assistant):
    """The assistant, with a look at how late the event loop is from its first question on."""

    record: Record
    _watch: asyncio.Task[None] | None = None

    async def astream(self, question: str, **options: Unpack[Options]) -> AsyncIterator[Event]:
        """The assistant's own events."""
        if self._watch is None:
            self._watch = asyncio.create_task(_look(self.record))
        async with aclosing(cast("AsyncGenerator[Event]", super().astream(question, **options))) as events:
            async for event in events:
                yield event


async def _look(record: Record) -> None:
    """Writes down how late each look is, in milliseconds, a hundred looks a line."""
    late: list[float] = []
    while True:
        due = time.monotonic() + _SECONDS_BETWEEN_LOOKS
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        late.append(round((time.monotonic() - due) * 1000, 2))
        if len(late) == 100:
            record.add(kind="late", milliseconds=late, at=time.monotonic())
            late = []


class LoadHouse(ScriptedHouse):
    """The real assistant over an empty library and the paced model; threads are kept as they always are."""

    def __init__(self, settings: Settings, record: Record, seconds_a_word: float) -> None:
        super().__init__(settings)
        self._library = Library.open(settings.library_path, HashEmbeddings())
        model = PacedModel(replies=[], record=record, seconds_a_word=seconds_a_word)
        self.real = WatchedAssistant(model, self._library, settings, memory=House(settings).memory())
        self.real.record = record

    def assistant(self) -> Any:
        """The real one."""
        return self.real

    def close(self) -> None:
        """Close the library."""
        self._library.close()


if __name__ == "__main__":
    home, port, seconds = sys.argv[1:]
    settings = load_settings({"home": home, "port": int(port)})
    settings.home.mkdir(parents=True, exist_ok=True)
    run(LoadHouse(settings, Record(settings.home / "load.jsonl"), float(seconds)), headless=True)
