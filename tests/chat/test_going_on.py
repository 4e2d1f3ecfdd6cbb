"""What a person does after an answer: press what is suggested, call added tools, read cards, go back in a long chat."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from chat.by_hand import about_picture, called, menu
from chat.store import Store
from chat.threads import Threads
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess, free_port, scripted_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
_NOTES = b"# Farm\nA farm.\n# Pumps\nThe pump failed.\n# Harvest\nNine tonnes were brought in."


def actions(client: ChatClient, name: str) -> list[dict[str, Any]]:
    """The buttons of a kind that are on the page now."""
    gone = {action["id"] for action in client.data("remove_action")}
    return [one for one in client.data("action") if one["name"] == name and one["id"] not in gone]


async def test_a_suggestion_asks_and_the_next_message_takes_the_others_away(client: ChatClient) -> None:
    notes = (await client.upload("notes.md", _NOTES, "text/markdown")).json()["id"]
    await client.say("How big was the harvest?", [notes])
    await client.answered()
    offered = {action["label"]: action for action in actions(client, "suggested")}
    assert list(offered) == [
        "What does notes.md say about “Pumps”?",
        "What does notes.md say about “Farm”?",
        "Summarize notes.md",
    ]
    client.events = [event for event in client.events if event[1] not in ("task_start", "task_end")]
    assert (await client.press(offered["What does notes.md say about “Pumps”?"])).status_code == 200
    await client.answered()
    said = [step for step in client.messages().values() if step["type"] == "user_message"]
    assert [step["output"] for step in said] == ["What does notes.md say about “Pumps”?"]
    assert sum("Nine tonnes were harvested" in text for text in client.texts()) == 2
    assert "What does notes.md say about “Farm”?" in {action["label"] for action in client.data("remove_action")}


async def test_nothing_is_suggested_where_the_documents_are_silent(client: ChatClient) -> None:
    await client.say("nothing")
    await client.answered()
    assert actions(client, "suggested") == []


async def test_a_question_beside_files_that_all_failed_is_not_asked_of_other_documents(client: ChatClient) -> None:
    program = (await client.upload("setup.exe", b"MZ\0", "application/x-msdownload")).json()["id"]
    await client.say("What does it do?", [program])
    await client.answered()
    assert client.texts() == ["✗ `setup.exe` is a Windows program."]


async def test_an_added_tool_is_in_the_menu_and_called_with_its_options(client: ChatClient) -> None:
    await client.say("/weather_forecast city=echo days=3")
    await client.answered()
    assert '"arguments": {"city": "echo", "days": 3}' in client.texts()[0]
    assert '"tool": "weather_forecast"' in client.texts()[0]
    client.events.clear()
    await client.say("", command="weather_forecast")
    await client.answered()
    assert client.texts()[0].startswith("Write it as `/weather_forecast city=… [days=1]`.")


async def test_the_menu_is_completed_once_the_tools_are_known(server: ServerProcess, cookie: str) -> None:
    client = ChatClient(server, cookie)
    client.events = _Kept()
    async with client:
        await client.until(lambda: any("weather_forecast" in str(data) for data in client.data("set_commands")))
        await client.say("nothing")
        await client.answered()


class _Kept(list[Any]):
    """Events that stay when the client has arrived."""

    def clear(self) -> None:
        """Nothing."""


async def test_the_models_are_listed_with_their_versions_and_cards(client: ChatClient) -> None:
    await client.say("/models")
    await client.answered()
    assert re.search(r"\| chat \| `assistant@\d+` \|", client.texts()[0])
    card = next(action for action in actions(client, "card") if action["label"].startswith("Card of router@"))
    await client.press(card)
    await client.until(lambda: client.saw("set_sidebar_elements"))
    assert client.data("set_sidebar_title")[-1] == card["label"]
    [element] = client.data("set_sidebar_elements")[-1]["elements"]
    params = {"session_id": client.session_id}
    shown = (await client.http.get(f"/project/file/{element['chainlitKey']}", params=params)).text
    assert "router" in shown.lower()
    await client.press({**card, "payload": {"version": "../../x"}})
    await client.until(lambda: client.saw("toast"))


async def test_a_long_chat_opens_with_its_newest_turns_and_shows_the_others_when_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    for number in range(120):
        kind = "assistant_message" if number % 2 else "user_message"
        step = {"id": f"s{number}", "threadId": "long", "type": kind, "name": "x", "output": f"said {number}"}
        at = f"2026-01-01T00:{number // 60:02}:{number % 60:02}.000Z"
        Threads(store).save_step("you", step | {"createdAt": at, "start": at, "end": at, "input": ""})
    store.close()
    with scripted_server(tmp_path) as server:
        async with ChatClient(server, server.enter(), "long") as client:
            shown = client.data("resume_thread")[0]["steps"]
            assert [step["output"] for step in shown[1:]] == [f"said {number}" for number in range(80, 120)]
            assert shown[0]["output"].startswith("*80 earlier messages")
            [earlier] = actions(client, "earlier")
            assert earlier["forId"] == shown[0]["id"]
            await client.press(earlier)
            await client.until(lambda: len(client.data("resume_thread")) == 2)
            whole = client.data("resume_thread")[1]["steps"]
            assert [step["output"] for step in whole] == [f"said {number}" for number in range(120)]
            await client.say("nothing")
            await client.until(lambda: any(text.startswith("There is nothing") for text in client.texts()))


class _Look(BaseModel):
    image: str = Field(description="the path of a picture on this machine")
    labels: list[str] = Field(default=[], description="what to look for")
    most: int = 5


def _tools() -> dict[str, BaseTool]:
    def look(image: str, labels: list[str], most: int) -> str:
        """Look at a picture. And more."""
        return json.dumps([image, labels, most])

    tool = StructuredTool.from_function(look, name="describe_image", args_schema=_Look)
    return {tool.name: tool, "search": StructuredTool.from_function(look, name="search", args_schema=_Look)}


async def test_options_are_read_by_the_tools_schema_and_a_dropped_file_is_its_path() -> None:
    tools = _tools()
    call = called("/describe_image labels=cat,dog most=2", None, tools, ["/a.png"])
    assert call is not None
    assert (call.arguments, call.hint) == ({"image": "/a.png", "labels": ["cat", "dog"], "most": 2}, "")
    named = called('image="/my files/b.png"', "describe_image", tools)
    assert named is not None
    assert named.arguments == {"image": "/my files/b.png"}
    for wrong in ("/describe_image", "/describe_image most=two /a.png", "/describe_image image=a b c d"):
        call = called(wrong, None, tools)
        assert call is not None
        assert call.hint.startswith("Write it as `/describe_image image=… [labels=[]] [most=5]`. Look at a picture.")
    assert called("/search x", None, tools) is None  # Hearth's own have commands of their own
    assert [entry["id"] for entry in menu(tools)] == ["describe_image"]


async def test_a_question_beside_one_dropped_picture_is_asked_of_the_vision_model() -> None:
    picture, table = ("/a.png", "image/png"), ("/t.csv", "text/csv")
    asked = about_picture("What is it?", [picture], _tools())
    assert asked is not None
    assert asked.arguments == {"image": "/a.png", "text": "What is it?"}
    assert about_picture("What is it?", [picture, table], _tools()) is None
    assert about_picture("What is it?", [picture], {}) is None


async def test_suggestions_are_off_where_the_setting_says_so(tmp_path: Path) -> None:
    script = Path(__file__).with_name("serve_scripted.py")
    home = tmp_path / "home"
    home.mkdir()
    (home / "hearth.toml").write_text('suggestions = "off"\n')
    with ServerProcess([sys.executable, str(script), str(home), str(free_port())], tmp_path / "server.log") as server:
        async with ChatClient(server, server.enter()) as client:
            notes = (await client.upload("notes.md", _NOTES, "text/markdown")).json()["id"]
            await client.say("How big was the harvest?", [notes])
            await client.answered()
            assert actions(client, "suggested") == []
