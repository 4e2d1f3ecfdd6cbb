"""An answer's sources on the page: a numbered button each, and the cited page or passage beside the chat.

The panel is filled when a button is pressed. Elements with `display="side"`, Chainlit's own way, would open the panel
by themselves at every answer and stack every source of the whole conversation in it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chainlit as cl
from chainlit.context import context

from agent.events import Source
from chat.backstage import LibraryLike
from chat.passages import passage, place, quoted

ACTION = "source"


def buttons(message_id: str, sources: Sequence[Source]) -> list[cl.Action]:
    """One button a source; the page's script also presses them when a citation in the text is clicked."""
    return [
        cl.Action(
            name=ACTION,
            label=f"[{source.number}] {place(source)}",
            tooltip="Show this source beside the chat",
            payload={"message": message_id, "number": source.number},
        )
        for source in sources
    ]


async def open_beside(source: Source, library: LibraryLike) -> None:
    """Show a source in the panel beside the chat: a PDF at its page, anything else as text with the quote marked."""
    path = Path(source.path) if source.path else None
    if path is not None and await asyncio.to_thread(_is_pdf, path):
        quote = await _text_element(quoted(source.quote))
        elements = [quote, _pdf_element(path, source.page)]
    else:
        text = await asyncio.to_thread(_extracted_text, library, source)
        elements = [await _text_element(passage(source, text))]
    await context.emitter.emit("set_sidebar_title", f"[{source.number}] {place(source)}")
    await context.emitter.emit("set_sidebar_elements", {"elements": elements, "key": str(uuid.uuid4())})


def _is_pdf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"%PDF-" in file.read(1024)
    except OSError:
        return False


def _extracted_text(library: LibraryLike, source: Source) -> str | None:
    from retrieval.errors import RetrievalError

    try:
        return library.text(source.document_id)
    except RetrievalError:
        return None  # removed meanwhile: the quote is still shown


def _pdf_element(path: Path, page: int | None) -> dict[str, Any]:
    """The PDF where it lies; the session hands it out under an id of ours, no copy is made."""
    session = context.session
    known = {str(file["path"]): key for key, file in session.files.items()}
    key = known.get(str(path))
    if key is None:
        key = str(uuid.uuid4())
        session.files[key] = {
            "id": key,
            "path": path,
            "name": path.name,
            "type": "application/pdf",
            "size": path.stat().st_size,
        }
    return _element("pdf", key, "application/pdf", page=page or 1)


async def _text_element(markdown: str) -> dict[str, Any]:
    file = await context.session.persist_file(name="passage", mime="text/plain", content=markdown or "…")
    return _element("text", file["id"], "text/plain")


def _element(kind: str, key: str, mime: str, **more: Any) -> dict[str, Any]:
    element_id = str(uuid.uuid4())
    return {"id": element_id, "type": kind, "chainlitKey": key, "name": kind, "display": "side", "mime": mime, **more}
