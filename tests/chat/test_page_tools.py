"""What the page draws of long work, of proposals and of classes, over the wire."""

from __future__ import annotations

import pytest

from agent.events import Answer
from chat.probabilities import as_table, bar
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess
from tests.chat.test_inert import live_parts

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_long_work_says_how_far_it_is_in_one_line(client: ChatClient) -> None:
    await client.say("read every page, nothing")
    await client.answered()
    names = [data["name"] for data in client.data("update_message") if data["name"].startswith("summarize")]
    assert names[0] == "summarize · 1 of 40, page 1 of report.pdf"
    assert 2 <= len(names) < 20
    assert names[-1] == "summarize · 800 ms"
    assert next(step["name"] for step in client.messages().values() if step["type"] == "tool") == names[-1]


async def test_a_proposal_is_done_by_its_own_session_alone_and_once(
    client: ChatClient, server: ServerProcess, cookie: str
) -> None:
    await client.say("propose")
    await client.answered()
    (card,) = client.texts()
    assert card.startswith("**send** would change something:")
    assert "- to: `ann@example.org`\n- text: `Hello *Ann*`" in card
    buttons = {action["label"]: action for action in client.data("action")}

    async with ChatClient(server, cookie) as stranger:
        assert (await stranger.press(buttons["Do it"])).status_code == 200
        await stranger.until(lambda: stranger.saw("toast"))
        assert "does not wait in this chat" in stranger.data("toast")[0]["message"]
    assert client.texts() == [card]

    await client.press(buttons["Do it"])
    await client.until(lambda: client.texts()[0].endswith("Sent to ann@example.org."))
    assert {action["label"] for action in client.data("remove_action")} == {"Do it", "Leave it"}
    await client.press(buttons["Do it"])
    await client.until(lambda: client.saw("toast"))
    assert len(client.texts()) == 1


async def test_a_proposal_that_is_left_does_nothing(client: ChatClient) -> None:
    await client.say("propose")
    await client.answered()
    buttons = {action["label"]: action for action in client.data("action")}
    await client.press(buttons["Leave it"])
    await client.until(lambda: client.texts()[0].endswith("*Left: nothing was done.*"))
    await client.press(buttons["Do it"])
    await client.until(lambda: client.saw("toast"))
    assert not client.texts()[0].endswith("Sent to ann@example.org.")


async def test_an_edited_question_takes_its_card_away(client: ChatClient) -> None:
    asked = await client.say("propose")
    await client.answered()
    card = next(step["id"] for step in client.messages().values() if step["type"] == "assistant_message")
    await client.edit(asked, "nothing")
    await client.until(lambda: any(text.startswith("There is nothing") for text in client.texts()))
    assert card in [data["id"] for data in client.data("delete_message")]


async def test_classes_are_a_table_with_bars(client: ChatClient) -> None:
    await client.say("what mood is this?")
    await client.answered()
    table = client.texts()[0].partition("\n\n*scripted*")[0]
    assert table.splitlines()[2:] == ["| glad | 90.0% | ██████████████████ |", "| sad | 10.0% | ██ |"]


async def test_what_no_passage_supports_is_struck_out(client: ChatClient) -> None:
    await client.say("monet")
    await client.answered()
    [text] = client.texts()
    left_out = text.split("\n\n")[1]
    assert left_out.startswith("*Left out, as no passage supports it:* ~~Monet")
    assert left_out.count("~~") == 2
    assert live_parts(text) == []


async def test_p02_a_class_of_a_hostile_name_is_plain_text() -> None:
    rows = [{"label": "a | b\n![x](https://evil.example/a.png) <img src=x>", "score": 0.5}]
    shown = as_table(Answer("", tool="classify", data=rows))
    assert shown is not None
    assert len(shown.splitlines()) == 3
    assert live_parts(shown) == []


async def test_bars_and_long_lists() -> None:
    assert [bar(0.0), bar(0.01), bar(1.0)] == ["", "▏", "█" * 20]
    rows = [{"label": str(number), "score": 0.01} for number in range(40)]
    shown = as_table(Answer("", tool="classify", data=rows))
    assert shown is not None
    assert shown.endswith("\nand 28 more labels")
    assert as_table(Answer("x", tool="classify", data=[{"of": "a", "data": []}])) is None
    assert as_table(Answer("x", tool="search", data=rows)) is None
