"""The facts this room hands out: documents, ingest reports, progress, passages and their ranks.

Plain frozen data with nothing heavy imported, so every screen can hold them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from retrieval.errors import BadMetadata
from retrieval.owners import is_shared, owner_of, thread_of

SearchMode = Literal["hybrid", "dense", "sparse"]
SEARCH_MODES: tuple[SearchMode, ...] = ("hybrid", "dense", "sparse")

DEFAULT_COLLECTION = "default"


@dataclass(frozen=True)
class TextDocument:
    """A text that is no file: a row of a data set, a message; `metadata` is kept with it and can be searched by."""

    name: str
    text: str
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class DocumentRecord:
    """One document of the library.

    `status` is "ready", or the code of the reason why the document holds no text ("no_text", "encrypted", ...), with
    the sentence in `message`. `path` is the original file, None for a text that was no file; `pages` is None where
    the format has none; `added` is UTC, ISO 8601; `metadata` is what the person gave with the document, `facts`
    what its file says: kind, encoding, title, author ..., and `warnings`, a list of sentences.
    """

    document: str
    document_id: str
    collection: str
    path: str | None
    pages: int | None
    chunks: int
    bytes: int
    sha256: str
    added: str
    status: str = "ready"
    message: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The record as `hearth documents list --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class CollectionRecord:
    """One collection and what it holds; `bytes` is the size of its original files and texts."""

    collection: str
    documents: int
    chunks: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The record as `hearth collections list --json` prints it, with the user and the thread it belongs to."""
        return {**asdict(self), "owner": owner_of(self.collection), "thread": thread_of(self.collection)}


@dataclass(frozen=True)
class IngestNote:
    """Something about one document that a person should read: a failure or a warning."""

    document: str
    code: str
    message: str


IngestFailure = IngestNote
IngestWarning = IngestNote


class IngestStopped(Exception):
    """Raised by a progress callback to end an ingest after what it is doing now."""


@dataclass(frozen=True)
class IngestProgress:
    """How far an ingest is.

    `chunks` counts those embedded, `document` is the last one finished; `begun` is how many documents' worth of work
    lies in those that are not done yet.
    """

    done: int
    total: int
    chunks: int
    seconds: float
    document: str | None
    begun: float = 0.0

    @property
    def chunks_per_second(self) -> float:
        """Chunks embedded in a second until now; 0 at the beginning."""
        return self.chunks / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take if it goes on like this; None before there is anything to tell it by."""
        behind = self.done + self.begun
        return max(0.0, self.seconds / behind * (self.total - behind)) if behind else None


@dataclass(frozen=True)
class ReembedProgress:
    """How far a re-embedding is: `done` of `total` chunks have a new vector, `embedded` of them made in this run."""

    done: int
    total: int
    embedded: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take if it goes on like this; None before the first batch is done."""
        return self.seconds / self.embedded * (self.total - self.done) if self.embedded else None


@dataclass(frozen=True)
class ReembedReport:
    """What a re-embedding did.

    `kept` counts vectors that an earlier, stopped run had made, `remaining` chunks still without a new one (those of
    other collections), `longer` chunks of which the new model reads only the beginning. While `swapped` is false the
    library is searched with the model it had; `before` is None where there were no vectors.
    """

    before: str | None
    after: str
    embedded: int
    kept: int
    remaining: int
    swapped: bool
    longer: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The report as `hearth reembed --json` prints it."""
        return asdict(self)


@dataclass
class IngestReport:
    """What an ingest did, in the order the files were given.

    `moved` holds documents that kept their content under a new path or name; `chunks` counts the chunks written now;
    `document_ids` gives the id of each file's document by its resolved path, unchanged ones and copies too.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    unchanged: int = 0
    failed: list[IngestFailure] = field(default_factory=list)
    warnings: list[IngestWarning] = field(default_factory=list)
    document_ids: dict[str, str] = field(default_factory=dict)
    chunks: int = 0
    seconds: float = 0.0
    stopped: bool = False
    """Ended early on request; what it lists is done, and the same call goes on from there."""

    def join(self, later: IngestReport) -> IngestReport:
        """Take in what a later run did, and give it without the failures and warnings that were there before."""
        news = replace(
            later,
            failed=[note for note in later.failed if note not in self.failed],
            warnings=[note for note in later.warnings if note not in self.warnings],
        )
        for name in ("added", "changed", "removed", "moved", "failed", "warnings"):
            getattr(self, name).extend(getattr(news, name))
        self.document_ids.update(later.document_ids)
        self.unchanged, self.stopped = later.unchanged, later.stopped
        self.chunks += later.chunks
        self.seconds = round(self.seconds + later.seconds, 3)
        return news

    @property
    def did_something(self) -> bool:
        """Whether anything was added, changed, moved, removed or failed."""
        return any((self.added, self.changed, self.removed, self.moved, self.failed))

    def to_json(self) -> dict[str, Any]:
        """The report as `hearth ingest --json` prints it."""
        value = asdict(self)
        del value["document_ids"]
        return value


@dataclass(frozen=True)
class RankedChunk:
    """Where one chunk stood at every stage; ranks are 1-based, None where a stage did not find it."""

    chunk_id: int
    score: float
    dense_rank: int | None = None
    dense_score: float | None = None
    sparse_rank: int | None = None
    sparse_score: float | None = None
    fused_rank: int | None = None


def metadata_json(metadata: Mapping[str, Any] | None) -> str | None:
    """Metadata as it is stored, a JSON object with sorted keys; None stays None.

    Raises:
        BadMetadata: it holds something that JSON has no word for.
    """
    if metadata is None:
        return None
    try:
        return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadMetadata(str(error)) from error


def searched_collections(asked: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The collections a search or a listing covers: those named, or all that are no user's and no thread's own."""
    if asked is None:
        return [name for name in known if is_shared(name)]
    return [name for name in dict.fromkeys(asked) if name in known]
