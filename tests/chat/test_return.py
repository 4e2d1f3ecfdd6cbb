"""Coming back: a thread after a restart of the server, with its sources and feedback; two users; sign-out (S02, C8)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from socketio.exceptions import ConnectionError as Refused

from chat import passwords
from chat.feedback import Feedback
from chat.people import People
from chat.store import Store
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import free_port, scripted_server
from tests.pdf import write_pdf

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse"


async def test_a_thread_resumes_after_a_restart_with_sources_feedback_and_deletion(tmp_path: Path) -> None:
    port = free_port()
    pdf = write_pdf(tmp_path / "r.pdf", ["One.", "The quarterly harvest was nine tonnes."])
    with scripted_server(tmp_path, port=port) as server:
        cookie = server.enter()
        async with ChatClient(server, cookie) as page:
            uploaded = (await page.upload("harvest.pdf", pdf.read_bytes(), "application/pdf")).json()["id"]
            question = await page.say("How big was the harvest?", [uploaded])
            await page.answered()
            thread = await page.thread()
            shown = page.texts()
            steps = [step for step in page.messages().values() if step["type"] == "assistant_message"]
            answer = steps[-1]["id"]
            mark = {"forId": answer, "value": 0, "comment": "too short"}
            assert (await page.http.put("/feedback", json={"feedback": mark, "sessionId": page.session_id})).json()[
                "success"
            ]
            action = next(action for action in page.data("action") if action["label"] == "Correct")
            await _correct(page, action, "Nine tonnes of barley.")
    with scripted_server(tmp_path, port=port) as server:
        async with ChatClient(server, cookie, thread) as page:
            [resumed] = page.data("resume_thread")
            kept = {step["id"]: step for step in resumed["steps"]}
            said = [step["output"] for step in resumed["steps"] if step["type"] == "assistant_message"]
            assert said == shown
            assert kept[question]["output"] == "How big was the harvest?"
            assert kept[answer]["feedback"] | {"id": ""} == {**mark, "id": ""}
            assert any(step["type"] == "tool" and step["parentId"] in kept for step in kept.values())
            [element] = resumed["elements"]
            assert (await page.http.get(element["url"])).content == pdf.read_bytes()
            labels = {action["label"]: action for action in page.data("action")}
            assert set(labels) == {"[1] harvest.pdf, page 2", "Correct"}
            assert labels["Correct"]["forId"] == answer
            assert (await page.press(labels["[1] harvest.pdf, page 2"])).status_code == 200
            await page.until(lambda: page.saw("set_sidebar_elements"))
            await page.say("nothing else")
            await page.answered()
            listed = await _threads(page)
            assert [(one["id"], one["name"]) for one in listed] == [(thread, "How big was the harvest?")]
            assert (
                await page.http.put("/project/thread", json={"threadId": thread, "name": "Barley"})
            ).status_code == 200
            assert [one["name"] for one in await _threads(page, "barley")] == ["Barley"]
            assert await _threads(page, "oats") == []
            [review] = Feedback(Store(tmp_path / "home")).reviews()
            assert review["question"] == "How big was the harvest?"
            assert review["corrections"] == [
                {"kind": "answer", "wrong": review["answer"], "right": "Nine tonnes of barley."}
            ]
            assert (review["model"], review["sources"][0]["document"], review["good"]) == (
                "scripted",
                "harvest.pdf",
                False,
            )
            gone = await page.http.request("DELETE", "/project/thread", json={"threadId": thread})
            assert gone.status_code == 200
            assert await _threads(page) == []
            assert (await page.http.get(f"/project/thread/{thread}")).status_code == 404
            assert (await page.http.get(element["url"])).status_code == 404
            await page.say("nothing after that")
            await page.answered()
            assert await _threads(page) == []
    files = [path for path in (tmp_path / "home" / "chats").rglob("*") if path.is_file()]
    assert not any(b"onnes" in path.read_bytes() for path in files)


@pytest_asyncio.fixture(loop_scope="module")
async def two_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[ChatClient, ChatClient, People]]:
    monkeypatch.setattr(passwords, "_LOG_COST", 4)
    people = People(Store(tmp_path / "home"))
    for name in ("ann", "ben"):
        people.add(name, PASSWORD, is_admin=name == "ann")
    with scripted_server(tmp_path) as server:
        assert server.link == f"{server.url}/"
        cookies = [server.sign_in(name, PASSWORD) for name in ("Ann", "ben")]
        async with ChatClient(server, cookies[0]) as ann, ChatClient(server, cookies[1]) as ben:
            yield ann, ben, people


async def test_two_users_have_documents_and_threads_of_their_own(
    two_users: tuple[ChatClient, ChatClient, People],
) -> None:
    ann, ben, _ = two_users
    uploaded = (await ann.upload("plan.txt", b"The canary plan.")).json()["id"]
    await ann.say("What is the plan?", [uploaded])
    await ann.answered()
    keep = next(action for action in ann.data("action") if action["label"] == "Keep in library")
    assert (await ann.press(keep)).status_code == 200
    await ben.say("What is the plan?")
    await ben.answered()
    assert "nothing about this" in ben.texts()[-1]
    await ann.say("What is in my library?")
    await ann.until(lambda: "plan.txt" in ann.texts()[-1])
    await ben.say("What is in my library?")
    await ben.until(lambda: "library is empty" in ben.texts()[-1])
    assert "plan" not in str([one for one in await _threads(ben) if one["userIdentifier"] != "ben"])
    assert [one["userIdentifier"] for one in await _threads(ann)] == ["ann"]
    assert (await ann.http.get("/user")).json()["metadata"] == {"admin": True}
    assert (await ben.http.get("/user")).json()["metadata"] == {"admin": False}


async def test_a_shared_thread_is_read_by_another_user_and_not_joined(
    two_users: tuple[ChatClient, ChatClient, People],
) -> None:
    ann, ben, _ = two_users
    await ann.say("nothing to hide")
    await ann.answered()
    thread = await ann.thread()
    assert (await ben.http.get(f"/project/share/{thread}")).status_code == 404
    await ann.http.put("/project/thread/share", json={"threadId": thread, "isShared": True})
    read = await ben.http.get(f"/project/share/{thread}")
    assert "nothing to hide" in read.text
    assert (await ben.http.get(f"/project/thread/{thread}")).status_code == 404
    with pytest.raises(Refused):
        async with ChatClient(ben.server, str(ben.http.headers["Cookie"]), thread):
            pass
    await ann.http.put("/project/thread/share", json={"threadId": thread, "isShared": False})
    assert (await ben.http.get(f"/project/share/{thread}")).status_code == 404


async def test_s02_a_disabled_user_is_out_in_the_middle_of_an_answer(
    two_users: tuple[ChatClient, ChatClient, People],
) -> None:
    ann, ben, people = two_users
    await ben.say("slow")
    await ben.until(lambda: any("word20" in text for text in ben.texts()))
    disabled_at = time.monotonic()
    await asyncio.to_thread(people.enable, "ben", enabled=False)
    await ben.until(lambda: not ben.connected, seconds=5)
    assert time.monotonic() - disabled_at < 3
    assert (await ben.http.get("/user")).status_code == 401
    assert (await ben.upload("a.txt", b"x")).status_code == 401
    async with httpx.AsyncClient(base_url=ben.server.url, headers={"Origin": ben.server.url}) as web:
        assert (await web.post("/login", data={"username": "ben", "password": PASSWORD})).status_code == 401
    await ann.say("nothing")
    await ann.answered()


async def test_c8_signing_out_ends_every_use_of_the_cookie(two_users: tuple[ChatClient, ChatClient, People]) -> None:
    ann, ben, _ = two_users
    async with httpx.AsyncClient(base_url=ann.server.url, headers={"Origin": ann.server.url}) as web:
        given = (await web.post("/login", data={"username": "ben", "password": PASSWORD})).headers["Set-Cookie"]
        assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(given.split("; "))
    assert (await ann.http.post("/logout")).status_code == 200
    cookie = str(ann.http.headers["Cookie"])
    async with httpx.AsyncClient(base_url=ann.server.url) as web:
        for proof in ({"Cookie": cookie}, {"Authorization": f"Bearer {cookie.partition('=')[2]}"}):
            assert (await web.get("/user", headers=proof)).status_code == 401
            assert (await web.get("/project/settings", headers=proof)).status_code == 401
    await ann.send("client_message", {"message": {"id": "x", "output": "hello"}})
    await ann.until(lambda: not ann.connected, seconds=5)
    assert (await ben.http.get("/user")).json()["identifier"] == "ben"


async def _threads(page: ChatClient, search: str = "") -> list[dict[str, str]]:
    asked = {"pagination": {"first": 20}, "filter": {"search": search}}
    found: list[dict[str, str]] = json.loads((await page.http.post("/project/threads", json=asked)).text)["data"]
    return found


async def _correct(page: ChatClient, action: dict[str, object], right: str) -> None:
    """Press Correct, choose the answer, and write what it should have been."""
    replies = iter((_choice, lambda asked: {**asked["msg"], "type": "user_message", "output": right}))
    page.reply_with(lambda asked: next(replies)(asked))
    assert (await page.press(action)).status_code == 200
    await page.until(lambda: any("Kept for the review list" in toast["message"] for toast in page.data("toast")))


def _choice(asked: dict[str, dict[str, list[dict[str, object]]]]) -> dict[str, object]:
    """The first of the offered buttons."""
    return {
        "name": "choice",
        "payload": {"value": "answer"},
        "label": "",
        "tooltip": "",
        "forId": "",
        "id": asked["spec"]["keys"][0],
    }
