"""The typed events of one answer, in the order a screen needs them, and the answer they add up to.

Every door (page, terminal, tests) draws these same events; this file imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Source:
    """One numbered source of an answer: the passage that the model was shown and the quote that supports it.

    `start` and `end` are 0-based characters of the document's extracted text, end exclusive; `page` is 1-based or
    None; `position` names a heading, slide or row where there is one; `path` is the original file if it is still
    on this disk.
    """

    number: int
    document: str
    document_id: str
    collection: str
    page: int | None
    position: str | None
    start: int
    end: int
    quote: str
    score: float
    path: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The source as the command line prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Timings:
    """Milliseconds from the question's arrival; None for a stage that did not run."""

    route_ms: float | None = None
    retrieve_ms: float | None = None
    first_token_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True)
class Coverage:
    """What a question over many documents read: of `total` documents, `read` were read and `silent` of them are silent.

    `unread` names the documents that were left out, and `in_part` those too long to be read as a whole.
    """

    total: int
    read: int
    silent: int
    unread: tuple[str, ...] = ()
    in_part: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the assistant said, what it rests on, and what it cost.

    `supported` is None where nothing could be checked (a reply without documents); `abstained` is True when the
    documents do not answer the question and the text says so; `cut_off` when a token or time limit or a Stop ended it;
    `coverage` belongs to a question over many documents. `tool` names the tool that gave it, the last one of several;
    `data` is what that tool gave as plain JSON, such as the probability of each label. `removed` are sentences that the
    model wrote and no passage supports, which stand in no `text`.
    """

    text: str
    sources: tuple[Source, ...] = ()
    supported: bool | None = None
    abstained: bool = False
    tool: str | None = None
    model: str = ""
    timings: Timings = field(default_factory=Timings)
    prompt_tokens: int = 0
    new_tokens: int = 0
    cut_off: bool = False
    coverage: Coverage | None = None
    data: Any = None
    removed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The answer as `hearth ask --json` prints it."""
        value = asdict(self)
        value["answer"] = value.pop("text")
        value["sources"] = [source.to_json() for source in self.sources]
        return value


@dataclass(frozen=True)
class ToolStarted:
    """A tool began its work; `id` joins it to its ToolFinished."""

    id: str
    name: str
    input: dict[str, Any]
    kind: Literal["tool_started"] = "tool_started"


@dataclass(frozen=True)
class ToolFinished:
    """A tool ended: what it gave as readable text, or the sentence that says why it failed."""

    id: str
    name: str
    output: str
    milliseconds: float
    error: str | None = None
    kind: Literal["tool_finished"] = "tool_finished"


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is: `done` of `total`, and what is being read, such as `page 12 of report.pdf`."""

    done: int
    total: int
    what: str
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class Proposed:
    """A tool with an effect would be called; nothing happens until the person confirms the `id`."""

    id: str
    tool: str
    arguments: dict[str, Any]
    kind: Literal["proposed"] = "proposed"


@dataclass(frozen=True)
class SourcesFound:
    """The passages the answer will be written from, best first."""

    sources: tuple[Source, ...]
    kind: Literal["sources_found"] = "sources_found"


@dataclass(frozen=True)
class Token:
    """The next piece of the answer's text."""

    text: str
    kind: Literal["token"] = "token"


@dataclass(frozen=True)
class Answered:
    """The end of a successful answer; always the last event."""

    answer: Answer
    kind: Literal["answered"] = "answered"


@dataclass(frozen=True)
class Failed:
    """The end of an answer that could not be given: a stable code and one sentence; always the last event."""

    code: str
    message: str
    kind: Literal["failed"] = "failed"


Event = ToolStarted | ToolFinished | Progress | Proposed | SourcesFound | Token | Answered | Failed
