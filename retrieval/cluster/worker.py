"""One worker of a cluster: opens the library itself and brings in the files that it is handed.

Lists of files and reports travel as JSON text. A worker that dies in the middle is started again with the same files;
what it had stored is then unchanged, as every document is a transaction of its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.records import IngestNote, IngestReport
from retrieval.sources import SourceFile

if TYPE_CHECKING:
    from retrieval.library import Library
    from retrieval.stored import Known

_KNOWN_SECONDS = 60.0
"""What the library holds is looked up this often; a file that came in meanwhile is only read once more than needed."""


@dataclass(frozen=True)
class Order:
    """What every worker of a run does the same; `open_library` is called in the worker's own process."""

    open_library: Callable[[], Library]
    collection: str
    metadata: dict[str, Any] | None


class Worker:
    """Called by Ray with one share after another."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._library: Library | None = None
        self._known: dict[str, Known] = {}
        self._known_at = -_KNOWN_SECONDS

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A share `{number, files}` gives `{number, report, error}`, of which one is an empty text."""
        answer = {"number": row["number"], "report": "", "error": ""}
        try:
            return answer | {"report": report_text(self._bring(read_share(row["files"])))}
        except Exception as error:
            if not hasattr(error, "code"):  # every room's errors have one, and a sentence
                raise
            return answer | {"error": str(error)}

    def _bring(self, files: list[SourceFile]) -> IngestReport:
        if self._library is None:
            self._library = self._order.open_library()
        if time.monotonic() - self._known_at >= _KNOWN_SECONDS:
            self._known = self._library.known(self._order.collection)
            self._known_at = time.monotonic()
        return self._library.add_share(files, self._known, self._order.collection, self._order.metadata)


def share_text(files: Iterable[SourceFile]) -> str:
    """Files as ASCII text; a name that is no Unicode survives it."""
    return json.dumps([[str(file.path), file.source, file.name, file.asked] for file in files])


def read_share(text: str) -> list[SourceFile]:
    """The files of `share_text`."""
    return [SourceFile(Path(path), source, name, asked) for path, source, name, asked in json.loads(text)]


def report_text(report: IngestReport) -> str:
    """A report as text."""
    return json.dumps(asdict(report))


def read_report(text: str) -> IngestReport:
    """The report of `report_text`."""
    facts = json.loads(text)
    for kind in ("failed", "warnings"):
        facts[kind] = [IngestNote(**note) for note in facts[kind]]
    return IngestReport(**facts)
