"""The LangChain tools: called as an agent calls them, with words and data, and errors that end no conversation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from langchain_core.tools import BaseTool

from agent.settings import Settings
from agent.tools import NAMES, build_tools
from agent.tools.compare import compared
from agent.tools.list_documents import list_documents_tool
from models.tasks.similarity import Similarity
from retrieval import Library, TextDocument
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel

REPORT = "Revenue rose to 5 million in 2023. The office moved to Oslo. Nobody was dismissed."


@pytest.fixture
def tools(tmp_path: Path) -> Iterator[dict[str, BaseTool]]:
    """The tools of a house with one document and hashed embeddings."""
    embeddings = HashEmbeddings()
    (tmp_path / "report.txt").write_text(REPORT, encoding="utf-8")
    with Library.open(tmp_path / "library", embeddings) as library:
        library.add([tmp_path / "report.txt"])
        house = SimpleNamespace(
            settings=Settings(home=tmp_path),
            home=tmp_path,
            library=lambda: library,
            embeddings=lambda: embeddings,
            chat_model=lambda: ScriptedChatModel(replies=["yes"]),
        )
        yield {tool.name: tool for tool in build_tools(house)}  # type: ignore[arg-type]


def test_every_tool_says_when_to_use_it_and_when_not(tools: dict[str, BaseTool]) -> None:
    assert tuple(tools) == NAMES
    for tool in tools.values():
        assert "Use it when" in tool.description
        assert tool.args_schema is not None
        assert all("description" in facts for facts in tool.args.values())


def test_classify_gives_words_and_data(tools: dict[str, BaseTool]) -> None:
    call = {"name": "classify", "args": {"text": "a big river", "labels": ["river", "money"]}, "id": "1"}
    message = tools["classify"].invoke({**call, "type": "tool_call"})
    assert message.content.startswith("river: 0.")
    assert [item["label"] for item in message.artifact] == ["river", "money"]


def test_extract_and_summarize_read_a_library_document(tools: dict[str, BaseTool]) -> None:
    found = tools["extract"].invoke({"question": "The office moved where?", "document": "report.txt"})
    assert found == "Oslo"
    summary = tools["summarize"].invoke({"document": "report.txt", "words": 8})
    assert summary in REPORT


def test_compare_says_what_only_one_text_holds(tools: dict[str, BaseTool]) -> None:
    found = tools["compare"].invoke({"first_document": "report.txt", "second": "The office moved to Oslo."})
    assert "Only the first says:" in found
    assert "Revenue rose" in found
    assert "Only the second says" not in found


def test_the_same_text_differs_in_nothing() -> None:
    found = compared(Similarity(HashEmbeddings()), REPORT, REPORT)
    assert found.similarity == pytest.approx(1)
    assert (found.only_first, found.only_second) == ((), ())


def test_list_documents(tools: dict[str, BaseTool]) -> None:
    assert tools["list_documents"].invoke({}) == "report.txt"


def test_documents_of_one_name_are_listed_with_their_ids(tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        for folder in ("old", "new"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "lease.txt").write_text(f"The {folder} one.", encoding="utf-8")
        library.add([tmp_path / "old", tmp_path / "new"])
        library.add_texts([TextDocument("report.txt", "New.")])
        ids = [record.document_id for record in library.documents() if record.document == "lease.txt"]
        found = list_documents_tool(lambda: library).invoke({})
    assert set(found.splitlines()) == {"report.txt", *(f"lease.txt (id {one})" for one in ids)}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("translate", {"text": "hello", "to": "pl"}, "language_not_supported"),
        ("entities", {"text": "Anna"}, "no_task_model"),
        ("classify", {"text": "x", "labels": ["one"]}, "too_few_labels"),
        ("extract", {"question": "who?", "document": "missing.pdf"}, "not_found"),
        ("summarize", {}, "bad_input"),
        ("summarize", {"text": "a", "document": "report.txt"}, "bad_input"),
    ],
)
def test_an_error_is_an_answer(tools: dict[str, BaseTool], name: str, arguments: dict[str, object], code: str) -> None:
    assert tools[name].invoke(arguments).startswith(f"{code}: ")
