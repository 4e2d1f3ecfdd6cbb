"""Questions limited to chosen documents, and assistants of several users: what may answer, and what may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import hearth
from agent.assembly import House
from agent.assistant import Assistant
from agent.errors import BadInput
from agent.events import Failed, SourcesFound, ToolStarted
from agent.settings import Settings
from agent.tools import build_tools
from retrieval import Library
from retrieval.errors import NotFound
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel

QUESTION = "Who built the lighthouse?"


@pytest.fixture
def assistant(tmp_path: Path) -> Assistant:
    """Three lighthouses in files of their own, and one that nothing can be read from."""
    for name, builder in (("varn", "Ida Holm"), ("lund", "Per Berg"), ("malmo", "Eva Lind")):
        (tmp_path / f"{name}.txt").write_text(f"The lighthouse of {name} was built by {builder}.", encoding="utf-8")
    (tmp_path / "blank.txt").write_text(" ", encoding="utf-8")
    # Hashed words give lower cosines than a trained encoder, so the floor is lower too.
    settings = Settings(home=tmp_path / "home", relevance_floor=0.1)
    library = Library.open(tmp_path / "library", HashEmbeddings())
    made = Assistant(ScriptedChatModel(replies=["Yes."]), library, settings)
    made.add_documents(sorted(tmp_path.glob("*.txt")))
    return made


def shown(assistant: Assistant, **options: Any) -> list[str]:
    """The documents whose passages the model is given."""
    events = list(assistant.stream(QUESTION, **options))
    return [s.document for event in events if isinstance(event, SourcesFound) for s in event.sources]


def test_only_the_chosen_documents_answer(assistant: Assistant, tmp_path: Path) -> None:
    assert sorted(shown(assistant)) == ["lund.txt", "malmo.txt", "varn.txt"]
    ids = {record.document: record.document_id for record in assistant.library.documents()}
    for named in (ids["lund.txt"], "lund.txt", tmp_path / "lund.txt", str(tmp_path / "lund.txt")):
        assert shown(assistant, documents=[named]) == ["lund.txt"]
    assert sorted(shown(assistant, documents=["lund.txt", ids["varn.txt"], "lund.txt"])) == ["lund.txt", "varn.txt"]
    [started] = [e for e in assistant.stream(QUESTION, documents=["lund.txt"]) if isinstance(e, ToolStarted)]
    assert started.input == {"query": QUESTION, "collections": ["default"], "documents": ["lund.txt"]}
    answer = assistant.as_runnable().invoke({"question": QUESTION, "documents": ["malmo.txt"]})
    assert [source.document for source in answer.sources] == ["malmo.txt"]


def test_what_the_chosen_documents_do_not_hold_is_not_taken_from_others(assistant: Assistant) -> None:
    answer = assistant.ask("Who was Per Berg?", documents=["varn.txt"])
    assert answer.abstained
    assert "I searched 1 document for" in answer.text
    assert assistant.ask("Who was Per Berg?").sources[0].document == "lund.txt"
    assert assistant.ask(QUESTION, documents=[], tool="search").text.startswith("That is not in your documents: I sear")


def test_a_document_that_is_not_there_or_holds_nothing_is_named(assistant: Assistant) -> None:
    with pytest.raises(NotFound, match=r"^oslo\.txt is not among the documents that this question may use"):
        assistant.ask(QUESTION, documents=["varn.txt", "oslo.txt"])
    with pytest.raises(BadInput, match=r"^blank\.txt cannot be asked about: blank\.txt is empty\.$"):
        assistant.ask(QUESTION, documents=["blank.txt"])
    last = list(assistant.stream(QUESTION, documents=["oslo.txt"]))[-1]
    assert isinstance(last, Failed)
    assert last.code == "not_found"


async def test_the_async_ways_are_limited_too(assistant: Assistant) -> None:
    assert [s.document for s in (await assistant.aask(QUESTION, documents=["varn.txt"])).sources] == ["varn.txt"]
    events = [event async for event in assistant.astream(QUESTION, documents=["varn.txt"])]
    assert [s.document for e in events if isinstance(e, SourcesFound) for s in e.sources] == ["varn.txt"]


def test_a_thousand_chosen_documents_are_no_trouble(tmp_path: Path) -> None:
    """More than a statement of SQL may have values."""
    library = Library.open(tmp_path / "library", HashEmbeddings())
    (tmp_path / "a.txt").write_text("The lamp is red.")
    library.add([tmp_path / "a.txt"])
    [record] = library.documents()
    many = [*map(str, range(300_000)), record.document_id]
    assert len(library.search("lamp", where={"document_id": many})) == 1
    assert library.search("lamp", where={"document_id": {"$nin": many}}) == []


def test_p03_an_assistant_of_one_user_never_answers_from_anothers_documents(
    assistant: Assistant, tmp_path: Path
) -> None:
    ann, ben = assistant.for_user("ann"), assistant.for_user("ben")
    (tmp_path / "secret.txt").write_text("The lighthouse of secret was built by canary Ann.")
    (tmp_path / "draft.txt").write_text("The lighthouse of draft was built by canary Ann in a thread.")
    ann.add_documents([tmp_path / "secret.txt"])
    ann.add_documents([tmp_path / "draft.txt"], thread="7")
    assert "secret.txt" in shown(ann)
    assert "draft.txt" in shown(ann, thread="7", documents=["draft.txt"])
    for options in (
        {}, {"thread": "7"}, {"collection": "user:ann"}, {"collection": "user:ann/thread:7"}, {"collection": "ann"},
    ):  # fmt: skip
        for other in (ben, assistant):
            if other is ben or "user:ann" not in str(options):  # the whole library's keeper may name any collection
                assert {"secret.txt", "draft.txt"}.isdisjoint(shown(other, **options))
    for chosen in ["secret.txt", tmp_path / "secret.txt", *(r.document_id for r in ann.library.documents())]:
        if "lighthouse" not in str(chosen) and chosen not in [r.document_id for r in ben.library.documents()]:
            with pytest.raises(NotFound):
                ben.ask(QUESTION, documents=[chosen])
    prompts = " ".join(str(message.content) for asked in ben.chat_model.asked[-5:] for message in asked)
    assert "canary" not in prompts
    [draft] = ann.library.documents(["thread:7"])
    ann.keep_document(draft.document_id)
    assert {"secret.txt", "draft.txt"} <= set(shown(ann, documents=["secret.txt", "draft.txt"]))
    assert shown(assistant) == shown(ben)
    with pytest.raises(BadInput, match="assistant of ann"):
        ann.for_user("ben")


def test_p03_tools_over_a_users_library_see_no_others(tmp_path: Path) -> None:
    library = Library.open(tmp_path / "library", HashEmbeddings())
    (tmp_path / "secret.txt").write_text("canary")
    library.for_user("ann").add([tmp_path / "secret.txt"])
    tools = {tool.name: tool for tool in build_tools(House(Settings(home=tmp_path)), lambda: library.for_user("ben"))}
    for collection in (None, "user:ann", "ann"):
        assert tools["list_documents"].invoke({"collection": collection}) == "The library is empty."
    assert "not_found" in tools["summarize"].invoke({"document": "secret.txt"})
    assert "secret.txt" in build_tools(House(Settings(home=tmp_path)), lambda: library.for_user("ann"))[-1].invoke({})


# On the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def ask(assistant: Assistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """`hearth ask QUESTION --documents ...`: (status, its JSON value, what was said beside it)."""
    monkeypatch.setattr(House, "assistant", lambda house: assistant)
    monkeypatch.setattr(House, "library", lambda house: assistant.library)

    def run(*documents: str) -> tuple[int, Any, str]:
        words = ["ask", QUESTION, "--json", "--home", str(tmp_path / "home"), "--documents", *documents]
        status = hearth.main(words)
        said = capsys.readouterr()
        return status, json.loads(said.out), said.err

    return run


def test_a_file_that_is_not_in_the_library_is_added_and_asked_alone(ask, assistant: Assistant, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    new = tmp_path / "new"
    new.mkdir()
    (new / "oslo.txt").write_text("The lighthouse of oslo was built by Kari Dahl.")
    status, value, _ = ask(str(new))
    assert (status, [source["document"] for source in value["sources"]]) == (0, ["oslo.txt"])
    assert "oslo.txt" in [record.document for record in assistant.library.documents()]
    assert "failed" not in value
    assert ask(str(tmp_path / "varn.txt"))[1]["sources"][0]["document"] == "varn.txt"
    assert ask("lund.txt")[1]["sources"][0]["document"] == "lund.txt"


def test_a_document_that_cannot_be_used_is_named_beside_the_answer_of_the_rest(ask, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    status, value, said = ask(str(tmp_path / "varn.txt"), str(tmp_path / "blank.txt"))
    assert status == 1
    assert [source["document"] for source in value["sources"]] == ["varn.txt"]
    assert value["failed"] == [{"document": "blank.txt", "code": "empty_file", "message": "blank.txt is empty."}]
    assert said == "hearth: empty_file: blank.txt is empty.\n"


@pytest.mark.parametrize(("named", "code"), [("blank.txt", "empty_file"), ("none.pdf", "not_found"), ("", "not_found")])
def test_with_no_usable_document_nothing_is_asked(ask, tmp_path: Path, named: str, code: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty folder").mkdir()
    status, value, _ = ask(str(tmp_path / (named or "empty folder")))
    assert (status, value["error"]["code"]) == (1, code)
