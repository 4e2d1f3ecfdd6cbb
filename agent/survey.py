"""A question asked of many documents, one after another: what each says about it, with its citation, in one list.

Each document's relevant passages are read by the chat model in groups that fit its window; what it writes down counts
only where a passage supports it. Joining the documents is plain code, so no document's finding can be lost or mixed up.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel

from agent import answering
from agent.answering import Clock
from agent.events import (
    Answer,
    Answered,
    Coverage,
    Event,
    Progress,
    Source,
    SourcesFound,
    ToolFinished,
    ToolStarted,
)
from agent.grounding import cite, closest_quote, content_words, sentences, strip_citations, supporting, unmarked
from agent.relevance import relevance
from agent.request import AnyLibrary
from agent.scope import topic
from agent.settings import Settings
from agent.writing import write
from models.prompts import NOT_IN_PASSAGES, findings_messages
from retrieval.records import DocumentRecord

TOOL = "answer"
_PASSAGES_A_DOCUMENT = 24
_GROUP_TOKENS = 1500  # a small chat model asked about more only sees the beginning
# A passage this much less likely to be about the topic than an answer's is still read, and judged by what it says.
_READ_SHARE = 0.5
_NAMED = 10


@dataclass
class _Found:
    """What has been found so far."""

    said: list[tuple[DocumentRecord, list[tuple[str, Source]]]] = field(default_factory=list)
    silent: int = 0
    in_part: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    reason: str = ""


@dataclass(frozen=True)
class Surveyor:
    """Reads documents for one question at a time, with the parts that an assistant has."""

    model: BaseChatModel
    library: AnyLibrary
    settings: Settings

    def survey(
        self, question: str, records: Sequence[DocumentRecord], clock: Clock, cancel: threading.Event
    ) -> Iterator[Event]:
        """What every document says about the question, as events; ends with Answered.

        Documents without text are no part of it. Beyond `survey_documents` and `survey_timeout_seconds` documents stay
        unread, and the answer names them.
        """
        ready = sorted((record for record in records if record.status == "ready"), key=lambda record: record.document)
        subject, step = topic(question), uuid.uuid4().hex
        yield ToolStarted(step, TOOL, {"question": question, "topic": subject, "documents": len(ready)})
        began, found = clock.now_ms(), _Found()
        for index, record in enumerate(ready):
            found.reason = self._over(index, clock, cancel)
            if found.reason:
                found.unread = [left.document for left in ready[index:]]
                break
            yield Progress(index, len(ready), record.document)
            self._read(record, subject, found, cancel)
        clock.retrieve_ms = clock.now_ms() - began
        yield ToolFinished(step, TOOL, _described(found, len(ready)), clock.retrieve_ms)
        numbered = _numbered(self._still_there(found))
        yield SourcesFound(_sources(numbered))
        yield Answered(self._answer(subject, numbered, found, len(ready), clock, cancel))

    def _over(self, index: int, clock: Clock, cancel: threading.Event) -> str:
        """Why the next document is not read; empty while there is room and time."""
        if cancel.is_set():
            return "it was stopped"
        if index >= self.settings.survey_documents:
            return f"{self.settings.survey_documents} documents are read at most (setting survey_documents)"
        seconds = self.settings.survey_timeout_seconds
        return f"the {seconds:g} seconds (setting survey_timeout_seconds) were over" if self._late(clock) else ""

    def _late(self, clock: Clock) -> bool:
        return clock.now_ms() > self.settings.survey_timeout_seconds * 1000

    def _read(self, record: DocumentRecord, subject: str, found: _Found, cancel: threading.Event) -> None:
        """Add what one document says to what was found."""
        hits = self.library.search(
            subject,
            top_k=_PASSAGES_A_DOCUMENT,
            collections=[record.collection],
            where={"document_id": record.document_id},
        )
        if not hits and record.chunks:  # removed since the documents were listed
            found.gone.append(record.document)
            return
        floor = self.settings.relevance_floor
        chosen = [hit for hit in hits if relevance([hit], record.chunks) >= floor * _READ_SHARE]
        if len(chosen) == len(hits) < record.chunks:
            found.in_part.append(record.document)
        said: dict[str, tuple[str, Source]] = {}
        for group in self._groups(sorted(chosen, key=lambda hit: hit.metadata["start"]), subject):
            sure = relevance(group, record.chunks) >= floor
            for sentence, source in self._findings(group, subject, record.path, sure, cancel):
                said.setdefault(f"{source.start} {sentence.casefold()}", (sentence, source))
        if said:
            found.said.append((record, list(said.values())))
        else:
            found.silent += 1

    def _groups(self, passages: Sequence[Document], subject: str) -> Iterator[list[Document]]:
        """The passages in groups that the model can read at once, in their order; one too long stands alone."""
        count = self.model.get_num_tokens
        limit = min(_GROUP_TOKENS, answering.prompt_limit(self.model) - count(subject))
        group: list[Document] = []
        used = 0
        for passage in passages:
            size = count(passage.page_content)
            if group and used + size > limit:
                yield group
                group, used = [], 0
            group.append(passage)
            used += size
        if group:
            yield group

    def _findings(
        self, group: Sequence[Document], subject: str, path: str | None, sure: bool, cancel: threading.Event
    ) -> list[tuple[str, Source]]:
        """The supported sentences about the subject that the model wrote down from these passages.

        Where it wrote none, but did not say that there are none, and the passages are `sure` to be about the subject,
        their nearest sentence is quoted.
        """
        sources = [answering.source_of(number, passage, path) for number, passage in enumerate(group, start=1)]
        texts = answering.fit(self.model, subject, [passage.page_content for passage in group])
        written = write(
            self.model,
            findings_messages(subject, texts),
            max_new_tokens=self.settings.max_new_tokens,
            seconds=self.settings.answer_timeout_seconds,
            cancel=cancel,
            unfinished=True,
        )
        clean, wanted = strip_citations(written or ""), content_words(subject)
        lines = dict.fromkeys(clean[span.start : span.end].lstrip("-*• ") for span in sentences(clean))
        kept = []
        for line in lines:
            source = supporting(line, "", sources, texts, self.settings.support_floor)
            if source and (sure or wanted & content_words(f"{line} {source.quote}")):
                kept.append((line, source))
        if kept or not sure or NOT_IN_PASSAGES in (written or ""):
            return kept
        nearest = closest_quote(subject, sources[: len(texts)], texts).sources[0]
        return [(f"“{' '.join(nearest.quote.split())}”", nearest)]

    def _still_there(self, found: _Found) -> list[tuple[DocumentRecord, list[tuple[str, Source]]]]:
        """What was found, without the documents that were removed in the meantime."""
        there = []
        for record, said in found.said:
            if answering.removed([source for _, source in said], self.library):
                found.gone.append(record.document)
            else:
                there.append((record, said))
        return there

    def _answer(
        self,
        subject: str,
        said: Sequence[tuple[DocumentRecord, Sequence[tuple[str, Source]]]],
        found: _Found,
        total: int,
        clock: Clock,
        cancel: threading.Event,
    ) -> Answer:
        unread = (*found.unread, *found.gone)
        return Answer(
            text=_text(subject, said, found, total),
            sources=_sources(said),
            supported=True if said else None,
            abstained=not said,
            tool=TOOL,
            model=answering.model_name(self.model),
            timings=clock.timings(),
            cut_off=cancel.is_set() or self._late(clock),
            coverage=Coverage(total, total - len(unread), found.silent, unread, tuple(found.in_part)),
        )


def _numbered(
    said: Sequence[tuple[DocumentRecord, Sequence[tuple[str, Source]]]],
) -> list[tuple[DocumentRecord, list[tuple[str, Source]]]]:
    """The same with sources numbered from 1 through all documents, one number a quote."""
    numbers: dict[tuple[str, int, int], Source] = {}
    result = []
    for record, own in said:
        lines = []
        for sentence, source in own:
            key = (source.document_id, source.start, source.end)
            lines.append((sentence, numbers.setdefault(key, replace(source, number=len(numbers) + 1))))
        result.append((record, lines))
    return result


def _sources(said: Sequence[tuple[DocumentRecord, Sequence[tuple[str, Source]]]]) -> tuple[Source, ...]:
    """Every numbered source once, in order."""
    return tuple({source.number: source for _, own in said for _, source in own}.values())


def _text(
    subject: str,
    said: Sequence[tuple[DocumentRecord, Sequence[tuple[str, Source]]]],
    found: _Found,
    total: int,
) -> str:
    """One line a document that says something, how many say nothing, and what was not read and why."""
    read = total - len(found.unread) - len(found.gone)
    documents = "1 document" if read == 1 else f"{read} documents"
    if said:
        head = f"{len(said)} of {documents} {'says' if len(said) == 1 else 'say'} something about “{subject}”:"
        parts = [head + "".join(f"\n- {unmarked(record.document)}: {_line(own)}" for record, own in said)]
        if found.silent:
            parts.append(f"{found.silent} {'says' if found.silent == 1 else 'say'} nothing about it.")
    else:
        parts = [f"That is not in your documents: I read {documents} for “{subject}” and found nothing about it."]
    if found.in_part:
        parts.append(f"Too long to be read as a whole, so only their nearest passages were: {_names(found.in_part)}.")
    if found.unread:
        parts.append(f"Not read, as {found.reason}: {_names(found.unread)}.")
    if found.gone:
        parts.append(f"Removed from the library while I was reading: {_names(found.gone)}.")
    return "\n\n".join(parts)


def _line(said: Sequence[tuple[str, Source]]) -> str:
    return " ".join(cite(sentence, source.number) for sentence, source in said)


def _names(documents: Sequence[str]) -> str:
    shown = ", ".join(map(unmarked, islice(documents, _NAMED)))
    return f"{shown} and {len(documents) - _NAMED} more" if len(documents) > _NAMED else shown


def _described(found: _Found, total: int) -> str:
    """The step's outcome in one line."""
    return f"{total - len(found.unread)} of {total} documents read: {len(found.said)} say something about it."
