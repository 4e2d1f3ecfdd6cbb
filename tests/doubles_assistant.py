"""A stand-in for the assistant that answers from a script, for tests of the page that need no model.

What it says depends on the question alone, so every test can foresee it; documents are read by a few lines of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.events import (
    Answer,
    Answered,
    Event,
    Failed,
    Source,
    SourcesFound,
    Timings,
    Token,
    ToolFinished,
    ToolStarted,
)
from agent.settings import Settings
from retrieval.errors import NotFound
from retrieval.records import DocumentRecord, IngestNote, IngestReport


class ScriptedLibrary:
    """Documents in memory."""

    def __init__(self) -> None:
        self.records: dict[str, DocumentRecord] = {}
        self.texts: dict[str, str] = {}

    def documents(self, collections: Sequence[str] | None = None) -> list[DocumentRecord]:
        wanted = ("default",) if collections is None else collections
        return [record for record in self.records.values() if record.collection in wanted]

    def document(self, document_id: str) -> DocumentRecord:
        if document_id not in self.records:
            raise NotFound(document_id, "is not in the library")
        return self.records[document_id]

    def text(self, document_id: str) -> str:
        self.document(document_id)
        return self.texts[document_id]


class ScriptedAssistant:
    """Answers by keyword: `slow` streams ten seconds, `evil` emits every live form, `nothing` finds no source."""

    def __init__(self, token_seconds: float = 0.005) -> None:
        self.library = ScriptedLibrary()
        self.token_seconds = token_seconds
        self.running = 0
        self.most_running = 0
        self.cancelled_at: list[float] = []

    def add_documents(
        self,
        paths: Sequence[str | Path],
        *,
        thread: str | None = None,
        names: Mapping[Path, str] | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> IngestReport:
        report = IngestReport()
        for path in map(Path, paths):
            name = (names or {}).get(path, path.name)
            data = path.read_bytes()
            if not data.strip():
                report.failed.append(IngestNote(name, "empty_file", f"{name} is empty: nothing was added."))
                continue
            collection = f"thread:{thread}" if thread else "default"
            document_id = hashlib.sha256(collection.encode() + data).hexdigest()[:16]
            report.document_ids[str(path)] = document_id
            if document_id in self.library.records:
                report.unchanged += 1
                continue
            pages = max(1, data.count(b"/Type /Page ")) if data.startswith(b"%PDF") else None
            self.library.records[document_id] = DocumentRecord(
                name, document_id, collection, str(path), pages, 3, len(data), document_id, "2026-01-01T00:00:00Z"
            )
            self.library.texts[document_id] = "" if pages else data.decode(errors="replace")
            report.added.append(name)
            report.chunks += 3
        return report

    def keep_document(self, document_id: str) -> None:
        record = self.library.document(document_id)
        fields = {**record.to_json(), "collection": "default"}
        self.library.records[document_id] = DocumentRecord(**fields)

    async def astream(self, question: str, *, thread: str | None = None) -> AsyncIterator[Event]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            async for event in self._script(question, thread):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled_at.append(time.monotonic())
            raise
        finally:
            self.running -= 1

    async def _script(self, question: str, thread: str | None) -> AsyncIterator[Event]:
        if "crash" in question:
            raise RuntimeError("secret /internal/path")
        if "fail" in question:
            yield Failed("too_long", "The question has 100,000 tokens; the model takes 8,192: shorten it.")
            return
        if "slow" in question:
            for count in range(2000):
                yield Token(f"word{count} ")
                await asyncio.sleep(0.005)
        sources = () if "nothing" in question else self._sources(thread)
        yield ToolStarted("t1", "search", {"query": question, "collections": ["default", f"thread:{thread}"]})
        yield ToolFinished("t1", "search", "\n".join(s.quote for s in sources) or "No passage found.", 12.3)
        if sources:
            yield SourcesFound(sources)
        text = self._text(question, sources)
        for start in range(0, len(text), 4):
            yield Token(text[start : start + 4])
            await asyncio.sleep(self.token_seconds)
        yield Answered(
            Answer(
                text,
                sources,
                supported=bool(sources) or None,
                abstained=not sources,
                tool="search",
                model="scripted",
                timings=Timings(1, 2, 3, 4),
            )
        )

    def _sources(self, thread: str | None) -> tuple[Source, ...]:
        records = self.library.documents(["default", f"thread:{thread}"])
        found = []
        for number, record in enumerate(records, start=1):
            text = self.library.texts[record.document_id]
            quote = text.strip().split("\n")[-1] if text else "The quarterly harvest was nine tonnes."
            start = text.find(quote) if text else 0
            page = 2 if record.pages else None
            found.append(
                Source(
                    number=number,
                    document=record.document,
                    document_id=record.document_id,
                    collection=record.collection,
                    page=page,
                    position=None,
                    start=start,
                    end=start + len(quote),
                    quote=quote,
                    score=0.9,
                    path=record.path,
                )
            )
        return tuple(found)

    @staticmethod
    def _text(question: str, sources: Sequence[Source]) -> str:
        if "evil" in question:
            return EVIL
        if not sources:
            return "There is nothing about this in your documents."
        cited = " ".join(f"[{source.number}]" for source in sources)
        return f"Nine tonnes were harvested {cited}.{_TABLE_AND_CODE}"


class ScriptedHouse:
    """What `chat.serve.run` opens in the tests."""

    def __init__(self, settings: Settings, assistant: ScriptedAssistant | None = None) -> None:
        self.settings = settings
        self.opened = assistant or ScriptedAssistant()

    def assistant(self) -> ScriptedAssistant:
        return self.opened

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


_TABLE_AND_CODE = """

| field | tonnes |
|---|---|
| north | 9 |

```python
x[0]: int = 9
```"""

EVIL = """Here: ![x](https://evil.example/a.png?d=chat) and ![y][ref] and [click](https://evil.example/b).

[ref]: https://evil.example/c.png

<img src="https://evil.example/d.png"> <a href="https://evil.example/e">go</a>
<video src="https://evil.example/f.mp4"></video>

![v](https://evil.example/g.mp4) https://evil.example/h www.evil.example/i <https://evil.example/j>
https&#58;//evil.example/k https\\://evil.example/l $\\href{https://evil.example/m}{x}$

<style>body { background: url(https://evil.example/n) }</style>

- ```
![o](https://evil.example/o.png)

| `a | ![p](https://evil.example/p.png) ` |
|---|---|
| x | https://evil.example/q |

[![r](https://evil.example/r.png)](https://evil.example/s) ![](//evil.example/t.png)
"""
