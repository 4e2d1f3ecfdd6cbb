"""A stand-in for the assistant that answers from a script, for tests of the page that need no model.

What it says depends on the question alone, so every test can foresee it; documents are read by a few lines of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from agent.errors import UnknownProposal
from agent.events import (
    Answer,
    Answered,
    Event,
    Failed,
    Progress,
    Proposed,
    Source,
    SourcesFound,
    Timings,
    Token,
    ToolFinished,
    ToolStarted,
)
from agent.settings import Settings
from models.serving import Roles
from retrieval.errors import NotFound
from retrieval.owners import thread_collection
from retrieval.records import DocumentRecord, IngestNote, IngestProgress, IngestReport


class ScriptedLibrary:
    """Documents in memory."""

    user: str | None = None

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

    def positions(self, document_id: str) -> list[tuple[int, str]]:
        """Its lines that begin with #."""
        lines = self.text(document_id).splitlines()
        return [(number, line.lstrip("# ")) for number, line in enumerate(lines) if line.startswith("#")]

    def collections(self) -> list[str]:
        return sorted({record.collection for record in self.records.values()})

    def remove(self, documents: Sequence[str]) -> list[DocumentRecord]:
        found = [self.document(document_id) for document_id in documents]
        for record in found:
            del self.records[record.document_id]
        return found

    def add(
        self, paths: Sequence[str | Path], *, collection: str = "default", names: Mapping[Path, str] | None = None
    ) -> IngestReport:
        """Bring files in; those that are empty fail, and those that are there stay as they are."""
        report = IngestReport()
        for path in map(Path, paths):
            name = (names or {}).get(path, path.name)
            data = path.read_bytes()
            if data.startswith(b"MZ"):
                report.failed.append(IngestNote(name, "unsupported_type", f"{name} is a Windows program."))
                continue
            if not data.strip():
                report.failed.append(IngestNote(name, "empty_file", f"{name} is empty: nothing was added."))
                continue
            document_id = hashlib.sha256(collection.encode() + data).hexdigest()[:16]
            report.document_ids[str(path)] = document_id
            if document_id in self.records:
                report.unchanged += 1
                continue
            pages = max(1, data.count(b"/Type /Page ")) if data.startswith(b"%PDF") else None
            self.records[document_id] = DocumentRecord(
                name, document_id, collection, str(path), pages, 3, len(data), document_id, "2026-01-01T00:00:00Z"
            )
            self.texts[document_id] = "" if pages else data.decode(errors="replace")
            report.added.append(name)
            report.chunks += 3
        return report


class ScriptedAssistant:
    """Answers by keyword: `slow` streams a minute, `evil` emits every live form, `nothing` finds no source.

    `propose` waits for a word before it sends, `every page` tells how far it is, `mood` classifies, `echo` says
    what was asked.
    """

    def __init__(self, token_seconds: float = 0.005) -> None:
        self.library = ScriptedLibrary()
        self.token_seconds = token_seconds
        self.running = 0
        self.most_running = 0
        self.cancelled_at: list[float] = []
        self.proposed: set[str] = set()
        self.forgotten: list[str | None] = []
        self.taken_back: list[tuple[str, list[str]]] = []
        self.choices: dict[str, Any] = {}
        self.tools: Sequence[BaseTool] = (_weather_tool(),)

    def add_documents(
        self,
        paths: Sequence[str | Path],
        *,
        thread: str | None = None,
        names: Mapping[Path, str] | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> IngestReport:
        if on_progress and "long" in str(names):
            for begun in (0.25, 0.5):
                on_progress(IngestProgress(0, 1, 1, 0.1, None, begun))
                time.sleep(0.35)
        return self.library.add(paths, collection=self._thread(thread) if thread else "default", names=names)

    def for_user(self, user: str) -> ScriptedAssistant:
        """One with documents of its own."""
        own = ScriptedAssistant(self.token_seconds)
        own.library.user = user
        return own

    def take_back(self, thread: str, messages: Sequence[str]) -> None:
        self.taken_back.append((thread, list(messages)))

    def named_tools(self) -> dict[str, BaseTool]:
        return {tool.name: tool for tool in self.tools}

    def forget(self, thread: str | None = None) -> None:
        self.forgotten.append(thread)

    def _thread(self, thread: str | None) -> str:
        return thread_collection(str(thread), self.library.user)

    def keep_document(self, document_id: str) -> None:
        record = self.library.document(document_id)
        fields = {**record.to_json(), "collection": "default"}
        self.library.records[document_id] = DocumentRecord(**fields)

    def confirm(self, proposal: str) -> Answer:
        if proposal not in self.proposed:
            raise UnknownProposal(proposal)
        self.proposed.remove(proposal)
        return Answer("Sent to ann@example.org.", tool="send")

    async def astream(self, question: str, *, thread: str | None = None, **options: Any) -> AsyncIterator[Event]:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            async for event in self._script(question, thread, options):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled_at.append(time.monotonic())
            raise
        finally:
            self.running -= 1

    async def _script(self, question: str, thread: str | None, options: Mapping[str, Any]) -> AsyncIterator[Event]:
        if "echo" in question:
            said = {name: value for name, value in {**options, **self.choices}.items() if name != "message"}
            said |= {"taken_back": self.taken_back} if "taken back" in question else {}
            yield Answered(Answer(f"{question} {json.dumps(said, sort_keys=True)}"))
            return
        if "crash" in question:
            raise RuntimeError("secret /internal/path")
        if "fail" in question:
            yield Failed("too_long", "The question has 100,000 tokens; the model takes 8,192: shorten it.")
            return
        if "slow" in question:
            for count in range(3000):
                yield Token(f"word{count} ")
                await asyncio.sleep(0.02)
        if "monet" in question:
            yield Answered(Answer("It is tall.", tool="search", model="scripted", removed=("Monet ~~painted~~ it.",)))
            return
        if "propose" in question:
            self.proposed.add(proposal := uuid.uuid4().hex)
            yield Proposed(proposal, "send", {"to": "ann@example.org", "text": "Hello *Ann*"})
            yield Answered(Answer("send would change something", tool="send", data={"proposal": proposal}))
            return
        if "mood" in question:
            scores = [{"label": "glad", "score": 0.9}, {"label": "sad", "score": 0.1}]
            yield Answered(Answer("glad: 0.90\nsad: 0.10", tool="classify", model="scripted", data=scores))
            return
        if "every page" in question:
            yield ToolStarted("t0", "summarize", {"document": "report.pdf"})
            for page in range(1, 41):
                yield Progress(page, 40, f"page {page} of report.pdf")
                await asyncio.sleep(0.02)
            yield ToolFinished("t0", "summarize", "Read.", 800.0)
        sources = () if "nothing" in question else self._sources(thread)
        yield ToolStarted("t1", "search", {"query": question, "collections": ["default", self._thread(thread)]})
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
        records = self.library.documents(["default", self._thread(thread)])
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

    def roles(self) -> Roles:
        return Roles(self.settings.home)

    def chat_labels(self) -> list[str]:
        return ["scripted", "farm@2"]

    def answer_languages(self) -> tuple[str, ...]:
        return ("de", "en", "fr")

    def tuned(self, assistant: ScriptedAssistant, **choices: Any) -> ScriptedAssistant:
        """The same documents; `echo` tells the choices."""
        made = ScriptedAssistant(assistant.token_seconds)
        made.library, made.choices = assistant.library, choices
        return made

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        pass


def _weather_tool() -> BaseTool:
    def weather_forecast(city: str, days: int = 1) -> str:
        """The weather of the next days. Made up for tests."""
        return f"{days} days of sun in {city}."

    return StructuredTool.from_function(weather_forecast)


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
