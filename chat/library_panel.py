"""The library beside the chat: what is in it, taking out, reading again, and choosing what the next questions may use.

The page's script draws it (`page/public/library.js`). It asks with a window message, which Chainlit hands on with the
session it came from, and is answered by another one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import chainlit as cl

from agent.errors import AgentError
from chat.asking import Scope, scope, searched_here, set_scope
from chat.backstage import AssistantLike, Backstage
from chat.log import escaped
from models.errors import ModelError
from retrieval.errors import RetrievalError
from retrieval.owners import is_shared, thread_of
from retrieval.records import DocumentRecord, IngestReport

KIND = "library"
_MOST_ROWS = 1000
_GONE = "This document is not in the library any more."
_NO_FILE = "cannot be read again: its file is no longer where it was. Drop it into the chat once more."


class LibraryPanel:
    """One session's view of the library.

    Args:
        stage: the process's parts.
        assistant: the person's.
    """

    def __init__(self, stage: Backstage, assistant: AssistantLike) -> None:
        self._library = assistant.library
        self._default = stage.settings.collection
        self._uploads = stage.uploads

    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Do what the panel asks and show it what is there now, with a sentence about what came of it."""
        note = ""
        try:
            match asked.get("ask"):
                case "choose":
                    await self._choose(asked.get("documents"))
                case "collection":
                    self._take_collection(asked.get("collection"))
                case "remove":
                    note = await asyncio.to_thread(self._remove, asked)
                case "read":
                    note = await asyncio.to_thread(self._read_again, asked)
        except (AgentError, ModelError, RetrievalError) as error:
            note = str(error)
        except KeyError:
            note = _GONE
        await self.show(note)

    async def show(self, note: str = "", *, is_opened: bool = False) -> None:
        """Hand the panel everything it shows."""
        records = await asyncio.to_thread(self._records)
        known = {record.document_id for record in records}
        kept = tuple(chosen for chosen in scope().documents if chosen in known)
        set_scope(replace(scope(), documents=kept))
        await _send(
            {
                "rows": [self._row(record) for record in records[:_MOST_ROWS]],
                "total": len(records),
                "collections": self._collections(),
                "note": escaped(note),
                "isOpened": is_opened,
            }
        )

    async def _choose(self, documents: Any) -> None:
        wanted = set(map(str, documents)) if isinstance(documents, list) else set()
        records = await asyncio.to_thread(self._records)
        ready = [record.document_id for record in records if record.status == "ready"]
        set_scope(replace(scope(), documents=tuple(one for one in ready if one in wanted)))

    def _take_collection(self, name: Any) -> None:
        known = self._collections()
        set_scope(Scope(collection=name if name in known and name != self._default else None))

    def _records(self) -> list[DocumentRecord]:
        return self._library.documents(searched_here(self._library, self._default))

    def _record(self, asked: Mapping[str, Any]) -> DocumentRecord:
        """The document that is meant, of those that are shown; another session's are not."""
        return {record.document_id: record for record in self._records()}[str(asked.get("document"))]

    def _collections(self) -> list[str]:
        """The shared collections that questions can go to, the usual one first."""
        shared = [name for name in self._library.collections() if is_shared(name)]
        return list(dict.fromkeys([self._default, *sorted(shared)]))

    def _remove(self, asked: Mapping[str, Any]) -> str:
        record = self._record(asked)
        self._library.remove([record.document_id])
        if record.path and self._is_ours(Path(record.path)):
            with contextlib.suppress(OSError):
                Path(record.path).unlink()
        return f"{record.document} was removed."

    def _is_ours(self, path: Path) -> bool:
        """Whether a file is a copy made when it was dropped, which no other document was read from."""
        if not path.is_relative_to(self._uploads):
            return False
        return all(record.path != str(path) for record in self._library.documents(self._library.collections()))

    def _read_again(self, asked: Mapping[str, Any]) -> str:
        record = self._record(asked)
        if record.path is None or not Path(record.path).is_file():
            return f"{record.document} {_NO_FILE}"
        path = Path(record.path)
        report = self._library.add([path], collection=record.collection, names={path: record.document})
        return _told(record, report)

    def _row(self, record: DocumentRecord) -> dict[str, Any]:
        return {
            "id": record.document_id,
            "name": escaped(record.document),
            "pages": record.pages,
            "passages": record.chunks,
            "isReady": record.status == "ready",
            "trouble": escaped(record.message or "") if record.status != "ready" else "",
            "place": _place(record.collection),
            "added": record.added[:10],
            "isChosen": record.document_id in scope().documents,
        }


async def _send(state: dict[str, Any]) -> None:
    chosen = scope()
    await cl.send_window_message({"hearth": f"{KIND}-state", "collection": chosen.collection or "", **state})


def _place(collection: str) -> str:
    if thread_of(collection) is not None:
        return "this chat"
    return collection if is_shared(collection) else "your library"


def _told(record: DocumentRecord, report: IngestReport) -> str:
    if report.failed:
        return report.failed[0].message
    if report.unchanged:
        return f"{record.document} has not changed since it was read."
    return f"{record.document} was read again."
