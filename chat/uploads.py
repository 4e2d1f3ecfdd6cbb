"""Files dropped into the chat: kept under an id of ours, read into the thread's own collection, reported one by one.

A client's file name is only ever shown, never part of a path (F01); the page's own upload folder is short-lived.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import AgentError
from chat.backstage import AssistantLike, LibraryLike
from chat.log import escaped
from models.errors import ModelError
from retrieval.errors import RetrievalError
from retrieval.owners import is_own, thread_collection

if TYPE_CHECKING:
    from retrieval import UserLibrary
    from retrieval.records import DocumentRecord, IngestProgress

NAMED_ERRORS = (AgentError, ModelError, RetrievalError)
_LONGEST_NAME = 200
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}\Z")


@dataclass(frozen=True)
class Outcome:
    """What became of one dropped file; `document_id` is None when it did not get in, `sentence` says why."""

    name: str
    document_id: str | None
    sentence: str


def display_name(raw: str) -> str:
    """A client's file name as it may be shown: no folders, nothing unprintable (F01, F02)."""
    last = re.split(r"[/\\]", raw.strip())[-1]
    shown = escaped(last).strip()[:_LONGEST_NAME]
    return shown if shown.strip(". ") else "document"


def store(received: Path, name: str, folder: Path, thread_id: str) -> Path:
    """Keep a received file for good; the same bytes in one thread are kept once.

    Args:
        received: where the server put it, which is deleted with the session.
        name: the client's name; only a plain extension is taken from it.
        folder: where uploads are kept.
        thread_id: the thread's id as the client sent it, so it is not trusted as a name either.
    """
    suffix = _SUFFIX.search(name.lower())
    thread_folder = folder / hashlib.sha256(thread_id.encode()).hexdigest()[:32]
    thread_folder.mkdir(parents=True, exist_ok=True)
    with received.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = thread_folder / f"{digest[:32]}{suffix[0] if suffix else ''}"
    if not kept.exists():
        partial = kept.with_name(kept.name + ".part")
        partial.unlink(missing_ok=True)
        try:
            os.link(received, partial)
        except OSError:
            shutil.copyfile(received, partial)
        os.replace(partial, kept)
    return kept


def add_file(
    assistant: AssistantLike,
    received: Path,
    name: str,
    folder: Path,
    thread_id: str,
    on_progress: Callable[[IngestProgress], None] | None = None,
) -> Outcome:
    """Store one dropped file and read it into its thread's collection; blocks, so call it in a thread."""
    shown = display_name(name)
    try:
        kept = store(received, name, folder, thread_id)
        report = assistant.add_documents([kept], thread=thread_id, names={kept: shown}, on_progress=on_progress)
    except NAMED_ERRORS as error:
        return Outcome(shown, None, str(error))
    except OSError as error:
        return Outcome(shown, None, _disk_sentence(error))
    # One file was given, so there is at most one id, under whatever form of its path.
    document_id = next(iter(report.document_ids.values()), None)
    if report.failed:
        if document_id is None:
            with contextlib.suppress(OSError):
                kept.unlink()
        return Outcome(shown, None, report.failed[0].message)
    if report.unchanged:
        return Outcome(shown, document_id, "already in this chat")
    warnings = [warning.message for warning in report.warnings]
    return Outcome(shown, document_id, "; ".join([_extent(assistant, document_id, report.chunks), *warnings]))


def forget_thread(library: LibraryLike, forget: Callable[[str], None], folder: Path, thread_id: str) -> None:
    """Take a thread's documents and its memory out for good; what was kept in the library stays. Blocks.

    Args:
        library: the owner's.
        forget: forgets what was said in a thread of theirs.
        folder: where uploads are kept.
        thread_id: the thread.
    """
    records = library.documents([thread_collection(thread_id, library.user)])
    if records:
        library.remove([record.document_id for record in records])
    forget(thread_id)
    _delete_files(records, folder)


def forget_user(library: UserLibrary, folder: Path) -> int:
    """Take everything of a user's out for good, with the files that they dropped; how many documents there were."""
    records = [record for record in library.documents(library.collections()) if is_own(record.collection, library.user)]
    count = library.forget()
    _delete_files(records, folder)
    return count


def _delete_files(records: Sequence[DocumentRecord], folder: Path) -> None:
    """Delete the files of documents that were dropped into a chat; any other lies where its person put it."""
    for record in records:
        path = Path(record.path or ".").resolve()
        if path.is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another document of that thread was kept in the library
                path.parent.rmdir()


def _extent(assistant: AssistantLike, document_id: str | None, chunks: int) -> str:
    """How much was read: `12 pages, 40 passages`."""
    pages = assistant.library.document(document_id).pages if document_id else None
    counts = [_count(pages, "page")] if pages else []
    return ", ".join([*counts, _count(chunks, "passage")])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _disk_sentence(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full, so the file was not kept: free some space and drop it again."
    return f"The file could not be kept: {error.strerror or 'the system gave no reason'}."
