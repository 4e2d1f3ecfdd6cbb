"""Whole documents: every page accounted for, every sentence of a summary linked to its pages or taken out."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import hearth
from agent.document_summary import DocumentSummary, in_words, summarise
from agent.documents import WholeText, read_file, read_from_library
from agent.events import Progress
from agent.progress import tell, told
from agent.tools import build_tools
from models.tasks.summarizer import Progress as Reading
from models.tasks.summarizer import SentenceSummarizer, Summary
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf

PAGES = [
    "Revenue rose by 5 percent in 2022. The harbour office moved to Oslo.",
    "",
    "Revenue rose by 7 percent in 2023. Ida Holm leads the harbour office.",
    "The ferry to Varn was sold.",
]


def whole(pages: list[str]) -> WholeText:
    """A document of these pages, as the readers give it: pages joined by a line break."""
    starts, text = [], ""
    for page in pages:
        starts.append(len(text))
        text += f"{page}\n"
    return WholeText("report.pdf", text, tuple(starts))


class Saying:
    """A summariser that reads sentence by sentence and says what it is told to."""

    def __init__(self, summary: str, reads: float = 1.0) -> None:
        self.summary, self.reads = summary, reads

    def __call__(self, text: str, *, words: int = 60, on_progress: Reading | None = None) -> Summary:
        for step in range(1, 5):
            if on_progress:
                on_progress(int(len(text) * self.reads * step / 4), len(text))
        return Summary(self.summary, 4, "saying", "chat")


def made(summary: str, pages: list[str] = PAGES, reads: float = 1.0) -> DocumentSummary:
    def own() -> SentenceSummarizer:
        return SentenceSummarizer(HashEmbeddings())

    return summarise(whole(pages), Saying(summary, reads), words=20, floor=0.6, own_sentences=own)


def test_each_sentence_names_its_page_and_quotes_it() -> None:
    found = made("The harbour office moved to Oslo. The ferry was sold.")
    assert [sentence.pages for sentence in found.sentences] == [(1,), (4,)]
    text = whole(PAGES).text
    for sentence in found.sentences:
        for quote in sentence.quotes:
            assert text[quote.start : quote.end] == quote.quote
    assert in_words(found.to_json()) == (
        "The harbour office moved to Oslo. (p. 1) The ferry was sold. (p. 4)\n\n"
        "3 of 4 pages were read; page 2 has no text to read."
    )


def test_a_sentence_made_of_two_pages_names_both() -> None:
    [sentence] = made("Revenue rose by 5 percent in 2022 and by 7 percent in 2023.").sentences
    assert sentence.pages == (1, 3)
    assert sentence.support == pytest.approx(1.0)


def test_what_no_page_supports_is_taken_out() -> None:
    found = made("The ferry was sold. Napoleon bought the ferry in 1815. Revenue rose by 9 percent in 2022.")
    assert found.summary == "The ferry was sold."
    assert found.removed == ("Napoleon bought the ferry in 1815.", "Revenue rose by 9 percent in 2022.")


def test_headings_are_no_sentences_of_a_summary() -> None:
    pages = ["# Report\n## Ferry\nThe ferry to Varn was sold."]
    assert made("# Report\n## Ferry\nThe ferry to Varn was sold.", pages).summary == "The ferry to Varn was sold."
    assert made("# Report", ["# Report"]).summary == "# Report"


def test_where_nothing_is_supported_the_documents_own_sentences_stand_in() -> None:
    found = made("Napoleon won.")
    assert found.removed == ("Napoleon won.",)
    assert found.sentences
    assert all(sentence.text in whole(PAGES).text and sentence.pages for sentence in found.sentences)
    assert found.to_json()["method"] == "sentences"


@pytest.mark.parametrize("reads", [0.0, 0.3, 0.6, 1.0])
def test_every_page_is_read_or_named(reads: float) -> None:
    found = made("The ferry was sold.", reads=reads)
    named = {page.page for page in found.unread}
    assert found.pages_read + len(named) == found.pages_total == 4
    reached = int(len(whole(PAGES).text) * reads)
    for number, (_, end) in enumerate(whole(PAGES).pages, start=1):
        assert (number in named) == (number == 2 or end - 1 > reached)


def test_a_real_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    file = write_pdf(tmp_path / "report.pdf", PAGES)
    news: list[Progress] = []
    own = SentenceSummarizer(HashEmbeddings())
    found = summarise(read_file(file), own, words=12, floor=0.6, own_sentences=lambda: own, tell=news.append)
    assert (found.pages_read, found.pages_total, [page.page for page in found.unread]) == (3, 4, [2])
    assert news[-1] == Progress(4, 4, "page 4 of 4 of report.pdf")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([file])
        assert read_from_library(library, "report.pdf").pages == read_file(file).pages


def test_a_document_without_pages_is_one_page_and_tells_how_much_was_read() -> None:
    news: list[Progress] = []
    notes = WholeText("notes.txt", "One thing is here. " * 40)
    found = summarise(
        notes, Saying("One thing is here."), words=5, floor=0.6, own_sentences=lambda: Saying(""), tell=news.append
    )
    assert (found.pages_read, found.pages_total, found.unread) == (1, 1, ())
    assert found.sentences[0].pages == ()
    assert [progress.what for progress in news] == [f"{share} % of notes.txt" for share in (25, 50, 75, 100)]


def test_a_thousand_pages_are_linked_to_the_right_one() -> None:
    pages = [f"The tower of village {number} was painted by worker {7 * number}." for number in range(1, 1001)]
    [sentence] = made("Worker 4991 painted the tower of village 713.", pages).sentences
    assert sentence.pages == (713,)


def test_the_tool_tells_its_progress_and_gives_the_pages(tmp_path: Path) -> None:
    embeddings = HashEmbeddings()
    write_pdf(tmp_path / "report.pdf", PAGES)
    with Library.open(tmp_path / "library", embeddings) as library:
        library.add([tmp_path / "report.pdf"])
        house = SimpleNamespace(
            settings=SimpleNamespace(support_floor=0.6, tasks={}),
            home=tmp_path,
            library=lambda: library,
            embeddings=lambda: embeddings,
            chat_model=lambda: None,
        )
        tool = next(tool for tool in build_tools(house) if tool.name == "summarize")  # type: ignore[arg-type]
        call = {"name": "summarize", "args": {"document": "report.pdf", "words": 8}, "id": "1", "type": "tool_call"}
        work = told(lambda: tool.invoke(call))
        news = []
        while True:
            try:
                news.append(next(work))
            except StopIteration as end:
                message = end.value
                break
    assert news[-1].what == "page 4 of 4 of report.pdf"
    assert message.artifact["unread"] == [{"page": 2, "reason": "no text could be read from it"}]
    assert "(p. " in message.content


def test_progress_reaches_nobody_where_nobody_listens_and_errors_reach_the_reader() -> None:
    tell(Progress(1, 2, "x"))
    with pytest.raises(ZeroDivisionError):
        list(told(lambda: 1 // 0))


def test_work_ends_when_its_reader_leaves() -> None:
    ended = threading.Event()

    def work() -> None:
        try:
            while True:
                tell(Progress(1, 2, "for ever"))
        finally:
            ended.set()

    news = told(work)
    next(news)
    news.close()
    assert ended.wait(5)


def test_the_verb_prints_pages_and_counts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.assembly.House.embeddings", lambda self: HashEmbeddings())
    file = write_pdf(tmp_path / "report.pdf", PAGES)
    assert hearth.main(["summarize", str(file), "--words", "8", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert (value["pages_read"], value["pages_total"]) == (3, 4)
    assert value["sentences"][0]["pages"]
    assert hearth.main(["summarize", str(file), "--words", "8"]) == 0
    printed = capsys.readouterr().out
    assert "(p. " in printed
    assert "page 2 has no text to read" in printed
