"""What a house opens, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.assembly import House
from agent.assistant import Assistant
from agent.routing import Ruled
from agent.settings import Settings
from models.serving import Roles, Serving
from retrieval import TextDocument
from tests.models.conftest import save_tiny_chat, save_tiny_encoder


class Noting:
    """Keeps the tools it was asked about."""

    def __init__(self) -> None:
        self.tools: list[str] = []

    def route(self, message: str, tools: Mapping[str, str]) -> Sequence[Ruled]:
        self.tools += tools
        return [Ruled(None)]


def test_warming_up_lets_the_router_read_the_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the first question on the page does not wait for it."""
    chat, embed = str(save_tiny_chat(tmp_path / "chat")), str(save_tiny_encoder(tmp_path / "embed"))
    router = Noting()
    monkeypatch.setattr(House, "router", lambda house: router)
    with House(Settings(home=tmp_path / "home", chat_model=chat, embed_model=embed, engine="torch")) as house:
        house.warm_up()
    assert {"search", "translate", "summarize"} <= set(router.tools)


def test_where_no_model_routes_no_task_model_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They bring in torch."""
    monkeypatch.setattr(Roles, "serving", lambda roles, role: Serving(role, None, "", "rule", ""))
    monkeypatch.setattr(House, "tasks", lambda house: pytest.fail("the task models were opened"))
    house = House(Settings(home=tmp_path))
    assert house.router() is None
    assert house.judge() is None


def test_a_list_of_documents_opens_no_reranker_and_a_search_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It brings in torch."""
    embed = str(save_tiny_encoder(tmp_path / "embed"))
    texts = [TextDocument("a", "the quick fox"), TextDocument("b", "the quick brown fox")]
    with House(Settings(home=tmp_path / "home", embed_model=embed, engine="torch")) as house:
        house.library().add_texts(texts)
        assert house.roles().serving("rerank").name == "reranker@1"
        with monkeypatch.context() as patch:
            patch.setattr(House, "tasks", lambda house: pytest.fail("the task models were opened"))
            assert len(house.library().documents()) == 2
            plain = house.library().search("fox", rerank=False)
        given = {"the quick fox": 0.0, "the quick brown fox": 1.0}
        reader = SimpleNamespace(rerank=lambda query, texts: [given[text] for text in texts])
        monkeypatch.setattr(House, "tasks", lambda house: SimpleNamespace(reranker=lambda: reader))
        assert {hit.page_content: hit.metadata["rerank_score"] for hit in house.library().search("fox")} == given
        monkeypatch.setattr(House, "tasks", lambda house: SimpleNamespace(reranker=lambda: None))
        assert [hit.id for hit in house.library().search("fox")] == [hit.id for hit in plain]  # none serves any more


def test_an_opened_assistant_closes_its_house(tmp_path: Path) -> None:
    with Assistant.open(Settings(home=tmp_path)) as assistant:
        house = assistant.house
        assert house is not None
        assert house.assistant() is assistant
    assert house.assistant() is not assistant
