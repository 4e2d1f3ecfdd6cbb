"""Answers judged on a file of questions: how often right, how often cited rightly, how often silent when it should be.

Documents are put into a temporary library that is kept under the data home's cache, so that a second run on the
same documents starts at once.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from agent.assembly import House
from agent.assistant import Assistant
from agent.errors import BadInput
from agent.events import Answer
from agent.grounding import strip_citations
from models.metrics import contains_answer, exact_match, token_f1

if TYPE_CHECKING:
    from retrieval import Library

COLLECTION = "evaluation"


@dataclass(frozen=True)
class Question:
    """One row of the questions file; no `answers` means that the documents do not answer it."""

    id: str
    question: str
    answers: tuple[str, ...]
    context: str | None = None


@dataclass(frozen=True)
class Judged:
    """One question with its answer and the marks it got; `citations_right` of `citations` hold an accepted answer."""

    id: str
    question: str
    answers: tuple[str, ...]
    answer: str
    abstained: bool
    exact: float
    f1: float
    contains: float
    citations: int
    citations_right: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in the table by question."""
        return asdict(self)


def evaluate_answers(
    house: House,
    questions: Sequence[Question],
    documents: Sequence[Path] = (),
    *,
    on_judged: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], list[Judged]]:
    """Ask every question cold and score the answers.

    Args:
        house: the models and settings to judge.
        questions: from `read_questions`.
        documents: files, folders or `{title,text}` lines to search; none searches the home's own library. A question
            with a `context` is answered from that passage without a search.
        on_judged: called with (questions done, questions in all).

    Returns:
        The scores of CONTRACT.md and one row a question.

    Raises:
        BadInput: there are no questions.
    """
    if not questions:
        raise BadInput("The questions file has no rows; expected lines of {id, question, answers}.")
    library = evaluation_library(house, documents) if documents else house.library()
    assistant = Assistant(house.chat_model(), library, house.settings, judge=house.judge, reader=house.reader)
    collection = COLLECTION if documents else house.settings.collection
    judged = []
    try:
        for done, question in enumerate(questions, start=1):
            judged.append(_judge(assistant, question, collection))
            if on_judged:
                on_judged(done, len(questions))
    finally:
        if documents:
            library.close()
    return scores(judged), judged


def scores(judged: Sequence[Judged]) -> dict[str, Any]:
    """The table over all questions.

    `exact`, `f1` and `contains` are means over the answerable questions, an abstention counting 0; `citation_precision`
    is the share of the citations under right answers (those that contain an accepted one) whose quoted sentence holds
    an accepted answer; `abstained_right` and `abstained_wrong` are shares of the unanswerable and of the answerable
    questions. A share of nothing is None.
    """
    answerable = [row for row in judged if row.answers]
    right = [row for row in answerable if row.contains]
    unanswerable = [row for row in judged if not row.answers]
    return {
        "exact": _mean(row.exact for row in answerable),
        "f1": _mean(row.f1 for row in answerable),
        "contains": _mean(row.contains for row in answerable),
        "citation_precision": _ratio(sum(row.citations_right for row in right), sum(row.citations for row in right)),
        "answered": _mean(float(not row.abstained) for row in judged),
        "abstained_right": _mean(float(row.abstained) for row in unanswerable),
        "abstained_wrong": _mean(float(row.abstained) for row in answerable),
        "n": len(judged),
        "median_s": round(statistics.median(row.seconds for row in judged), 3),
    }


def read_questions(path: Path, limit: int | None = None) -> list[Question]:
    """Read `{id, question, answers, context?}` lines, gzipped or not.

    Answers may be texts, `{"text": ...}` objects or the hub's `{"text": [...]}`, so that SQuAD files work as they are.

    Raises:
        BadInput: with the line and what is wrong in it.
    """
    questions: list[Question] = []
    for number, row in read_lines(path):
        if limit is not None and len(questions) >= limit:
            break
        if not isinstance(row.get("question"), str) or "answers" not in row:
            raise BadInput(f"{path.name}, line {number} has the columns {sorted(row)}; expected question and answers.")
        context = row.get("context")
        questions.append(Question(str(row.get("id", number)), row["question"], _answers(row["answers"]), context))
    return questions


def _answers(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        value = value.get("text", [])
    texts = [item.get("text", "") if isinstance(item, dict) else str(item) for item in value or []]
    return tuple(dict.fromkeys(text for text in texts if text))


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSON-lines file, gzipped or not, each with its 1-based line number."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise BadInput(f"{path.name}, line {number} is no JSON object.")
                    yield number, row
    except (json.JSONDecodeError, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise BadInput(f"{path.name} is not a JSON-lines file ({error}); expected one object a line.") from error


def evaluation_library(house: House, documents: Sequence[Path]) -> Library:
    """A library of exactly these documents, kept under the home's cache by their content."""
    digest = hashlib.sha256()
    files = sorted({file for path in documents for file in (path.rglob("*") if path.is_dir() else [path])})
    for file in files:
        if file.is_file():
            digest.update(file.name.encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    library = kept_library(house, digest)
    plain = [path for path in documents if not _is_lines(path)]
    if plain:
        library.add(plain, collection=COLLECTION)
    for path in documents:
        if _is_lines(path):
            library.add_texts(_texts(path), collection=COLLECTION)
    return library


def kept_library(house: House, content: hashlib._Hash) -> Library:
    """The library under the home's cache that is kept for a hashed content and the model that embeds it."""
    digest = content.copy()
    digest.update(str(getattr(house.embeddings(), "fingerprint", "")).encode())
    return house.library_at(house.home / "cache" / "evaluation" / digest.hexdigest()[:24])


def _is_lines(path: Path) -> bool:
    return path.is_file() and path.name.removesuffix(".gz").endswith(".jsonl")


def _texts(path: Path) -> Iterable[Any]:
    from retrieval import TextDocument

    for number, row in read_lines(path):
        if not isinstance(row.get("text"), str):
            raise BadInput(f"{path.name}, line {number} has the columns {sorted(row)}; expected title and text.")
        title = str(row.get("title") or "")
        # A judged collection names its documents by id and keeps the title as part of what is searched.
        name, text = (row["doc_id"], f"{title}\n{row['text']}") if "doc_id" in row else (title or number, row["text"])
        yield TextDocument(name=str(name), text=text.strip())


def _judge(assistant: Assistant, question: Question, collection: str) -> Judged:
    began = time.perf_counter()
    if question.context is None:
        answer = assistant.ask(question.question, collection=collection, tool="search")
    else:
        answer = assistant.answer_from(question.question, [_as_passage(question)])
    seconds = time.perf_counter() - began
    said = "" if answer.abstained else strip_citations(answer.text)
    return Judged(
        id=question.id,
        question=question.question,
        answers=question.answers,
        answer=answer.text,
        abstained=answer.abstained,
        exact=exact_match(said, question.answers),
        f1=token_f1(said, question.answers),
        contains=contains_answer(said, question.answers),
        citations=len(answer.sources),
        citations_right=_citations_right(answer, question.answers),
        seconds=seconds,
    )


def _citations_right(answer: Answer, accepted: Sequence[str]) -> int:
    return sum(int(contains_answer(source.quote, accepted)) for source in answer.sources)


def _as_passage(question: Question) -> Document:
    text = question.context or ""
    facts = {"document": question.id, "document_id": question.id, "collection": COLLECTION, "page": None}
    return Document(text, metadata={**facts, "position": None, "start": 0, "end": len(text), "score": 1.0})


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(statistics.fmean(found), 4) if found else None


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
