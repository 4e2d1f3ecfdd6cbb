"""The assistant with a chat model on another machine: grounded answers, settings and keys, and saying so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from agent.assembly import House
from agent.assistant import Assistant
from agent.doctor import Check, examine
from agent.errors import BadSetting
from agent.events import Failed
from agent.request import Request
from agent.settings import load_settings
from agent.terminal import answer_on_terminal
from models import open_chat_model
from models.remote_chat import RemoteChat
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.models.fake_openai import Script, serving

LIGHTHOUSE = "The lighthouse of Varn was built in 1847 by Ida Holm. It is 41 metres tall. Its lamp burns rapeseed oil."
QUESTION = "Who built the lighthouse of Varn?"


@pytest.fixture
def script() -> Script:
    return Script(words=["Ida", " Holm", " built", " it", " in", " 1847", "."])


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as url:
        yield url


@pytest.fixture
def assistant(url: str, tmp_path: Path) -> Iterator[Assistant]:
    (tmp_path / "lighthouse.txt").write_text(LIGHTHOUSE, encoding="utf-8")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([tmp_path / "lighthouse.txt"])
        settings = load_settings({"home": str(tmp_path), "relevance_floor": 0.2, "chat_model": f"{url}#tiny"})
        yield Assistant(open_chat_model(f"{url}#tiny", home=tmp_path, max_new_tokens=64), library, settings)


def test_a_remote_answer_is_checked_and_cited_as_any_other(assistant: Assistant, script: Script) -> None:
    answer = assistant.ask(QUESTION)
    assert answer.text == "Ida Holm built it in 1847 [1]."
    assert answer.sources[0].document == "lighthouse.txt"
    assert answer.model == assistant.settings.chat_model
    assert (answer.prompt_tokens, answer.new_tokens) == (11, 5)
    assert LIGHTHOUSE in script.requests[0]["body"]["messages"][-1]["content"]


def test_a_failing_server_is_a_failed_event_with_its_code(assistant: Assistant, script: Script) -> None:
    script.status = 503
    last = list(assistant.stream(QUESTION))[-1]
    assert isinstance(last, Failed)
    assert last.code == "remote_failed"
    assert assistant.ask("Which emperor lost the battle of Waterloo?", tool="search").abstained


def test_a_prompt_is_fitted_to_the_context_that_the_settings_give(url: str, tmp_path: Path) -> None:
    flags = {"home": str(tmp_path), "chat_model": f"{url}#tiny", "chat_context_tokens": 600, "max_new_tokens": 100}
    model = House(load_settings(flags)).chat_model()
    assert model.max_input_tokens == 500


def test_the_key_is_named_by_the_settings_and_never_shown(
    url: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVER_KEY", "sk-12345")
    flags = {"home": str(tmp_path), "chat_model": f"{url}#tiny", "chat_key_variable": "MY_SERVER_KEY"}
    settings = load_settings(flags)
    House(settings).chat_model().invoke("Hello")
    assert script.requests[0]["headers"]["authorization"] == "Bearer sk-12345"
    assert "sk-12345" not in repr(settings) + str(settings.table())


def test_a_key_variable_that_is_not_set_is_named(url: str, tmp_path: Path) -> None:
    settings = load_settings({"home": str(tmp_path), "chat_model": f"{url}#tiny", "chat_key_variable": "NO_SUCH_KEY"})
    with pytest.raises(BadSetting, match="chat_key_variable is 'NO_SUCH_KEY'"):
        House(settings).chat_model()


def test_the_terminal_and_the_doctor_say_where_words_go(
    assistant: Assistant, capsys: pytest.CaptureFixture[str]
) -> None:
    answer_on_terminal(assistant, Request(QUESTION), quiet=False, trace=False)
    assert "The chat model is at 127.0.0.1: the question and passages are sent there." in capsys.readouterr().err
    checks: list[Check] = list(examine(House(assistant.settings)))
    said = {check.name: check for check in checks if check.name.endswith("elsewhere")}
    assert list(said) == ["chat model elsewhere"]
    assert "questions and passages are sent to 127.0.0.1" in said["chat model elsewhere"].found


def test_warming_up_asks_no_server(url: str, script: Script, tmp_path: Path) -> None:
    flags = {"home": str(tmp_path), "chat_model": f"{url}#tiny", "embed_model": f"{url}#encoder"}
    with House(load_settings(flags)) as house:
        house.warm_up()
        assert isinstance(house.chat_model(), RemoteChat)
        assert cast(list[object], script.requests) == []
        assert house.embeddings().embed_query("abc") == [3.0, 1.0, 0.0]
