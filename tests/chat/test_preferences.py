"""The page's settings: what they offer, that they act on this session's questions alone, and /status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.settings import load_settings
from chat.preferences import Known, Preferences, read
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess

KNOWN = Known(["smollm2", "farm@2", "farm@1"], ["de", "en"])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"model": "smollm2", "strategy": "usual", "over": "auto", "answer_in": "usual"},
        {"model": "/etc/passwd", "temperature": "hot", "max_new_tokens": None, "strategy": [], "over": {}},
        {"model": 7, "temperature": -1, "max_new_tokens": 10**9, "strategy": "x", "over": "x"},
        {"temperature": float("nan"), "max_new_tokens": True, "answer_in": "fr"},
        {"temperature": float("inf"), "max_new_tokens": 0, "unknown": "value"},
    ],
)
def test_what_is_no_choice_counts_as_not_chosen(values: dict[str, Any], tmp_path: Path) -> None:
    settings = load_settings({"home": tmp_path})
    assert read(values, settings, KNOWN) == Preferences("", settings.temperature, settings.max_new_tokens)


def test_choices(tmp_path: Path) -> None:
    values = {"model": "farm@1", "temperature": 0.7, "max_new_tokens": 64, "strategy": "loop", "over": "all"} | {
        "answer_in": "de"
    }
    chosen = read(values, load_settings({"home": tmp_path}), KNOWN)
    assert chosen == Preferences("farm@1", 0.7, 64, "loop", "all", "de")
    assert chosen.options() == {"strategy": "loop", "over": "all"}


@pytest.mark.asyncio(loop_scope="module")
async def test_they_act_on_this_sessions_questions_alone(
    client: ChatClient, server: ServerProcess, cookie: str
) -> None:
    assert await _echo(client) == {}
    await client.set_preferences(temperature=0.5, strategy="router", model="farm@2", answer_in="fr")
    said = await _echo(client)
    assert said["temperature"] == 0.5
    assert said["chat_model"] == "farm@2"
    assert said["strategy"] == "router"
    assert said["answer_in"] == "fr"
    assert "over" not in said
    async with ChatClient(server, cookie) as other:
        assert await _echo(other) == {}
    await client.set_preferences(temperature=0.0, strategy="usual", model="scripted", answer_in="usual")
    assert await _echo(client) == {}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_proposal_is_done_by_the_assistant_that_made_it(client: ChatClient) -> None:
    await client.set_preferences(temperature=1.0)
    await client.say("propose")
    await client.answered()
    await client.set_preferences(temperature=0.0)
    await client.press(next(action for action in client.data("action") if action["label"] == "Do it"))
    await client.until(lambda: client.texts()[0].endswith("Sent to ann@example.org."))


@pytest.mark.asyncio(loop_scope="module")
async def test_status(client: ChatClient) -> None:
    await client.set_preferences(temperature=0.3)
    await client.say("/status")
    await client.answered()
    (text,) = client.texts()
    assert "GB used by Hearth" in text
    assert "0 being given beside this one; 0 waiting for the model" in text
    assert "temperature 0.3, at most 256 tokens" in text
    assert "| chat | `" in text


async def _echo(client: ChatClient) -> dict[str, Any]:
    """What the assistant is told beside the question."""
    client.events.clear()
    await client.say("echo")
    await client.answered()
    value: dict[str, Any] = json.loads(client.texts()[-1].removeprefix("echo "))
    return value
