"""How one answer comes about: search, judge relevance, write from the passages, check every sentence.

Generators of events, used by the Assistant; a step that cannot go on raises, and the Assistant tells the screen.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage

from agent import grounding, scope
from agent.conflicts import with_conflicts
from agent.events import Answer, Answered, Event, Source, SourcesFound, Timings, Token, ToolFinished, ToolStarted
from agent.reading import SURE, Reader, amended, read
from agent.request import AnyLibrary
from agent.settings import Settings
from models.errors import PromptTooLong
from models.prompts import answer_messages
from retrieval.errors import NotFound
from retrieval.records import DocumentRecord

# Room kept for the instructions and the chat template's own tokens.
_TEMPLATE_TOKENS = 128
_SHORTEST_PASSAGE = 40
_SAME_WORDS = re.compile(r"(\b\w[^\n]{0,39}?\W+)\1{9,}")
_SHORTEST_CIRCLE, _ROUNDS, _TAIL = 20, 3, 1200
# What a passage takes at least, to say by how much a question is too long to have one beside it.
_PASSAGE_TOKENS = 16


@dataclass
class Clock:
    """Milliseconds since the question came in."""

    started: float = field(default_factory=time.perf_counter)
    route_ms: float | None = None
    retrieve_ms: float | None = None
    first_token_ms: float | None = None

    def now_ms(self) -> float:
        """Milliseconds until now."""
        return (time.perf_counter() - self.started) * 1000

    def timings(self) -> Timings:
        """What was measured, with the total until now."""
        return Timings(self.route_ms, self.retrieve_ms, self.first_token_ms, self.now_ms())


@dataclass
class Draft:
    """What the model wrote so far, and what it cost."""

    text: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    cut_off: bool = False


def search(
    library: AnyLibrary,
    question: str,
    collections: Sequence[str],
    settings: Settings,
    clock: Clock,
    only: Sequence[DocumentRecord] | None = None,
) -> Iterator[Event | list[Document]]:
    """Search as a visible step, in some documents only if they are given; the last item is the passages, best first."""
    step = uuid.uuid4().hex
    given = {"query": question, "collections": list(collections)}
    where = None if only is None else {"document_id": [record.document_id for record in only]}
    yield ToolStarted(
        step, "search", given if only is None else given | {"documents": [record.document for record in only]}
    )
    began = clock.now_ms()
    passages = library.search(question, top_k=settings.top_k, collections=collections, where=where, tidy=True)
    took = clock.now_ms() - began
    clock.retrieve_ms = (clock.retrieve_ms or 0.0) + took
    yield ToolFinished(step, "search", describe(passages), took)
    yield passages


def describe(passages: Sequence[Document]) -> str:
    """One line a passage: number, document, page and how it begins."""
    if not passages:
        return "No passage found."
    return "\n".join(
        f"[{number}] {place(passage.metadata)}: {' '.join(passage.page_content.split())[:120]}"
        for number, passage in enumerate(passages, start=1)
    )


def place(metadata: dict[str, Any]) -> str:
    """Where a passage stands, in words: `report.pdf, page 3`."""
    page, position = metadata.get("page"), metadata.get("position")
    return f"{metadata['document']}" + (f", page {page}" if page else "") + (f", {position}" if position else "")


def source_of(number: int, passage: Document, path: str | None = None) -> Source:
    """A passage as the source of that number.

    Args:
        number: as shown to the person, from 1.
        passage: a search's hit with its metadata.
        path: the original file, where it is known.
    """
    facts = passage.metadata
    return Source(
        number=number,
        document=facts["document"],
        document_id=facts["document_id"],
        collection=facts["collection"],
        page=facts["page"],
        position=facts["position"],
        start=facts["start"],
        end=facts["end"],
        quote=passage.page_content,
        score=facts["score"],
        path=path,
    )


def _placed(source: Source, passages: Sequence[Document]) -> Source:
    """A quote with the page and position of the part it stands in, where its passage was made of several."""
    for passage in passages:
        parts = passage.metadata.get("parts", ()) if passage.metadata["document_id"] == source.document_id else ()
        for part in parts:
            if part["start"] <= source.start < part["end"]:
                return replace(source, page=part["page"], position=part["position"])
    return source


def generate(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    settings: Settings,
    clock: Clock,
    draft: Draft,
    *,
    cancel: threading.Event,
    copies_source: bool,
) -> Iterator[Token]:
    """Stream the model's words into the draft, until it ends, turns in circles, `cancel` is set or the time is up.

    Args:
        copies_source: the answer will repeat words of the prompt, which an engine can use to guess ahead.
    """
    for chunk in model.stream(list(messages), prompt_lookup=copies_source, cancel=cancel):
        _account(chunk, draft)
        if text := str(chunk.text):
            if clock.first_token_ms is None:
                clock.first_token_ms = clock.now_ms()
            draft.text += text
            yield Token(text)
            if (end := first_round(draft.text)) is not None:
                draft.text = draft.text[:end]
                break
        if clock.now_ms() > settings.answer_timeout_seconds * 1000:
            draft.cut_off = True
            break


def first_round(text: str) -> int | None:
    """Where a text that turns in circles ends its first round: the same words ten times, or sentences three times.

    None while it does not; short sentences may be repeated, as a refrain is, and the last one may not be whole yet.
    """
    tail = max(0, len(text) - _TAIL)
    if circle := _SAME_WORDS.search(text, tail):
        return circle.end(1)
    spans = grounding.sentences(text[tail:])[:-1]
    said = [text[tail + span.start : tail + span.end] for span in spans]
    for length in range(1, len(said) // _ROUNDS + 1):
        rounds = [said[-turn * length : len(said) - (turn - 1) * length] for turn in range(1, _ROUNDS + 1)]
        if sum(map(len, rounds[0])) >= _SHORTEST_CIRCLE and all(one == rounds[0] for one in rounds):
            return tail + spans[-(_ROUNDS - 1) * length - 1].end
    return None


def _account(chunk: BaseMessage, draft: Draft) -> None:
    if isinstance(chunk, AIMessageChunk) and chunk.usage_metadata:
        draft.prompt_tokens += chunk.usage_metadata["input_tokens"]
        draft.new_tokens += chunk.usage_metadata["output_tokens"]
    if chunk.response_metadata.get("finish_reason") in ("length", "cancelled"):
        draft.cut_off = True


def answer_from(
    model: BaseChatModel,
    question: str,
    passages: Sequence[Document],
    sources: Sequence[Source],
    settings: Settings,
    clock: Clock,
    cancel: threading.Event,
    judge: grounding.Judge | None = None,
    reader: Reader | None = None,
) -> Iterator[Event]:
    """Write an answer from these passages, then check it sentence by sentence; ends with Answered.

    Where the model says that the passages do not answer the question, so does the answer, unless a reader is sure that
    they do. `judge` is the model that judges support, and `reader` the one that points at answers, where they serve;
    the answer names the reader where the sentence is its own.
    """
    fitting = fit(model, question, [passage.page_content for passage in passages])
    sources = sources[: len(fitting)]
    yield SourcesFound(tuple(sources))
    draft = Draft()
    messages = answer_messages(question, fitting)
    yield from generate(model, messages, settings, clock, draft, cancel=cancel, copies_source=True)
    found = read(reader, question, fitting) if reader is not None else None
    declined = grounding.declines(draft.text, question)
    if declined and (found is None or found.score < SURE):
        shown = "1 passage" if len(fitting) == 1 else f"the {len(fitting)} nearest passages"
        yield Answered(_silent(question, f"read {shown}", model, clock, draft))
        return
    written = grounded = grounding.ground(draft.text, question, sources, fitting, settings.support_floor, judge)
    if found is not None:
        briefly = declined or not grounding.is_whole(draft.text)
        grounded = amended(written, found, sources, fitting, briefly=briefly)
    is_the_readers = reader is not None and grounded is not written
    author = reader.name if reader is not None and is_the_readers else model_name(model)
    if not grounded.sources:
        grounded = grounding.closest_quote(scope.topic(question), sources, fitting)
    grounded = with_conflicts(question, grounded, sources, fitting)
    cited = tuple(_placed(source, passages) for source in grounded.sources)
    answer = drafted(grounded.text, model, clock, draft, sources=cited, supported=True, tool="search")
    yield Answered(replace(answer, model=author, removed=() if is_the_readers else written.removed))


def still_there(events: Iterator[Event], library: AnyLibrary) -> Iterator[Event]:
    """The events, but an answer whose documents were removed while it was written says so instead of citing them."""
    for event in events:
        if isinstance(event, Answered) and (gone := removed(event.answer.sources, library)):
            names = f"{' and '.join(gone)} {'was' if len(gone) == 1 else 'were'}"
            text = f"{names} removed from the library while I was answering: ask again without it."
            event = Answered(replace(event.answer, text=text, sources=(), supported=None, abstained=True))
        yield event


def removed(sources: Sequence[Source], library: AnyLibrary) -> list[str]:
    """The names of the cited documents that are no longer in the library."""
    gone = []
    for source in {source.document_id: source for source in sources}.values():
        try:
            library.document(source.document_id)
        except NotFound:
            gone.append(grounding.unmarked(source.document))
    return gone


def prompt_limit(model: BaseChatModel) -> int:
    """The tokens of content that a prompt may hold: the model's input limit less what the chat form itself takes."""
    limit = getattr(model, "max_input_tokens", None) or (model.profile or {}).get("max_input_tokens", 4096)
    return int(limit) - _TEMPLATE_TOKENS


def fit(model: BaseChatModel, question: str, texts: Sequence[str]) -> list[str]:
    """As many of the passages, best first, as fit the model's window beside the question."""
    room = prompt_limit(model) - model.get_num_tokens(question)
    kept: list[str] = []
    for text in texts:
        room -= model.get_num_tokens(text)
        if room < 0:
            return kept or [_beginning(model, text, room + model.get_num_tokens(text))]
        kept.append(text)
    return kept


def _beginning(model: BaseChatModel, text: str, room: int) -> str:
    """As much of a passage's beginning as fits where the question leaves room for no whole one.

    Raises:
        PromptTooLong: not even a few words fit.
    """
    while model.get_num_tokens(text) > room:
        text = text[: len(text) * 3 // 4].rsplit(maxsplit=1)[0] if " " in text else text[: len(text) // 2]
        if len(text) < _SHORTEST_PASSAGE:
            limit = prompt_limit(model)
            raise PromptTooLong(limit - room + _PASSAGE_TOKENS, limit)
    return text


def not_in_documents(question: str, model: BaseChatModel, documents: int, clock: Clock) -> Answered:
    """The answer that says what was looked for and that the documents are silent on it."""
    many = "1 document" if documents == 1 else f"{documents} documents"
    return Answered(_silent(question, f"searched {many}", model, clock, Draft()))


def _silent(question: str, looked: str, model: BaseChatModel, clock: Clock, draft: Draft) -> Answer:
    asked = " ".join(question.split())
    asked = asked if len(asked) <= 120 else asked[:119] + "…"
    text = f"That is not in your documents: I {looked} for “{asked}” and found nothing that answers it."
    return drafted(text, model, clock, draft, abstained=True, tool="search")


def drafted(text: str, model: BaseChatModel, clock: Clock, draft: Draft, **facts: Any) -> Answer:
    """An answer with what its draft has cost; `facts` are further fields of it."""
    return Answer(
        text,
        model=model_name(model),
        timings=clock.timings(),
        prompt_tokens=draft.prompt_tokens,
        new_tokens=draft.new_tokens,
        cut_off=draft.cut_off,
        **facts,
    )


def model_name(model: BaseChatModel) -> str:
    """The name a person knows the model by."""
    return str(getattr(model, "model", None) or getattr(model, "model_name", None) or type(model).__name__)
