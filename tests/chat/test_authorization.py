"""Who reaches what: every route and socket event of the running application by every kind of visitor (G5, S02, S03).

The doors are read off the application itself: a route or event without a rule in `chat/access.py`, or without a
request here that names Ann's things, fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from socketio.exceptions import ConnectionError as Refused

from chat import passwords
from chat.access import ROUTES, SOCKET_EVENTS, Access, access
from chat.people import People
from chat.tables import open_store
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess, scripted_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "correct horse"
CANARY = "canary-of-ann"
OUTSIDE = ("nobody", "signed out", "disabled")
OTHERS = ("ben", "root")


@dataclass
class World:
    """A server with people and what Ann has there."""

    server: ServerProcess
    home: Path
    url: str
    cookies: dict[str, str]
    ann: ChatClient
    ids: dict[str, str] = field(default_factory=dict)
    pages: dict[str, ChatClient] = field(default_factory=dict)

    def kept(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is Ann's in the store."""
        store = open_store(self.home, self.url)
        with store.reading() as connection:
            threads = "SELECT id FROM threads WHERE owner = 'ann'"
            found = {
                table: connection.execute(f"SELECT * FROM {table} WHERE thread IN ({threads})").fetchall()
                for table in ("steps", "elements", "answers")
            }
            found["threads"] = connection.execute("SELECT * FROM threads WHERE owner = 'ann'").fetchall()
            found["feedback"] = connection.execute("SELECT * FROM feedback").fetchall()
        store.close()
        return found


@pytest.fixture(scope="module", params=["file", "server"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the server with the chats; empty where they are in the home."""
    if request.param == "file":
        yield ""
    else:
        with request.getfixturevalue("new_database")() as address:
            yield address


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, url: str) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_LOG_COST", 4)
        people = People(open_store(folder / "home", url))
        for name in ("ann", "ben", "root", "signed.out", "disabled"):
            people.add(name, PASSWORD, is_admin=name == "root")
    return folder


@pytest.fixture(scope="module")
def server(home: Path, url: str) -> Iterator[ServerProcess]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_CHATS_URL", url)
        with scripted_server(home) as running:
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(home: Path, url: str, server: ServerProcess) -> AsyncIterator[World]:
    names = {"ann": "ann", "ben": "ben", "root": "root", "signed out": "signed.out", "disabled": "disabled"}
    cookies = {who: server.sign_in(name, PASSWORD) for who, name in names.items()} | {"nobody": ""}
    async with httpx.AsyncClient(base_url=server.url, headers={"Origin": server.url}) as web:
        assert (await web.post("/logout", headers={"Cookie": cookies["signed out"]})).status_code == 200
    People(open_store(home / "home", url)).enable("disabled", enabled=False)
    async with ChatClient(server, cookies["ann"]) as ann:
        uploaded = (await ann.upload(f"{CANARY}.txt", CANARY.encode())).json()["id"]
        question = await ann.say(f"How big was the harvest? {CANARY}", [uploaded])
        await ann.answered()
        thread = await ann.thread()
        answer = next(
            step["id"]
            for step in ann.messages().values()
            if step["type"] == "assistant_message" and "Nine" in step["output"]
        )
        # Ann's own page writes after these, so that what is asked for below is on the disk.
        marked = await ann.http.put(
            "/feedback",
            json={"feedback": {"forId": answer, "value": 1, "comment": CANARY}, "sessionId": ann.session_id},
        )
        world = World(server, home / "home", url, cookies, ann)
        world.ids = {
            "thread_id": thread,
            "element_id": uploaded,
            "file_id": uploaded,
            "session": ann.session_id,
            "question": question,
            "answer": answer,
            "feedback": marked.json()["feedbackId"],
        }
        async with ChatClient(server, cookies["ben"]) as ben, ChatClient(server, cookies["root"]) as root:
            world.pages = {"ben": ben, "root": root, "ann": ann}
            for page in (ben, root):
                await page.say("nothing of mine")
                await page.answered()
            yield world


def _request(method: str, path: str, ids: dict[str, str], own_session: str) -> dict[str, Any]:
    """A request at a route for Ann's things; raises KeyError for a route with a body that nobody wrote one for."""
    address = _filled(path, {**_ANYTHING, **ids})
    element = {
        "id": ids["element_id"],
        "type": "custom",
        "name": "x",
        "display": "inline",
        "threadId": ids["thread_id"],
    }
    mark = {"forId": ids["answer"], "value": 0, "id": ids["feedback"], "comment": "changed"}
    action = {"name": "source", "payload": {"message": ids["answer"], "number": 1}}
    bodies: dict[str, dict[str, Any]] = {
        "PUT /feedback": {"json": {"feedback": mark, "sessionId": own_session}},
        "DELETE /feedback": {"json": {"feedbackId": ids["feedback"]}},
        "POST /project/threads": {"json": {"pagination": {"first": 50}, "filter": {"userId": "ann", "search": CANARY}}},
        "PUT /project/element": {"json": {"element": element, "sessionId": own_session}},
        "DELETE /project/element": {"json": {"element": element, "sessionId": own_session}},
        "PUT /project/thread": {"json": {"threadId": ids["thread_id"], "name": "changed"}},
        "PUT /project/thread/share": {"json": {"threadId": ids["thread_id"], "isShared": True}},
        "DELETE /project/thread": {"json": {"threadId": ids["thread_id"]}},
        "POST /project/action": {"json": {"action": action, "sessionId": ids["session"]}},
        "POST /project/file": {
            "params": {"session_id": ids["session"]},
            "files": {"file": ("a.txt", b"x", "text/plain")},
        },
        "POST /set-session-cookie": {"json": {"session_id": ids["session"]}},
        "POST /login": {"data": {"username": "ann", "password": "wrong password"}},
        "POST /logout": {},
    }
    given = bodies[f"{method} {path}"] if method in ("POST", "PUT", "DELETE") else {}
    if path == "/project/file/{file_id}":
        given = {"params": {"session_id": ids["session"]}}
    return {"method": method, "url": address, **given}


def _filled(path: str, values: Mapping[str, str]) -> str:
    return path.replace(":path", "").replace(":str", "").format_map(values)


_ANYTHING = {
    "filename": "hearth.js",
    "avatar_id": "hearth",
    "provider_id": "github",
    "form": "markdown",
    "full_path": "anything",
}
_NAMES_ANNS = {"thread_id", "element_id", "file_id"}
# Another way to sign in than by password is off here; tests/chat/test_other_logins.py has it on.
_CLOSED = (Access.CLOSED, Access.HEADER, Access.OAUTH)
_REACHABLE = [(method, path) for (method, path), rule in ROUTES.items() if rule not in _CLOSED and method != "*"]
# What changes nothing of Ann's and names nothing of hers: everybody who is let in may do it.
_HARMLESS = {
    "GET /health", "HEAD /", "GET /{full_path:path}", "GET /project/settings", "POST /set-session-cookie",
    "POST /project/threads",
}  # fmt: skip


async def test_g5_every_door_of_the_application_has_a_rule(tmp_path: Path) -> None:
    program = Path(__file__).with_name("list_doors.py")
    listed = subprocess.run(
        [sys.executable, str(program), str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(listed.stdout.splitlines()[-1])
    assert {tuple(route) for route in found["routes"]} == set(ROUTES)
    assert set(found["events"]) == {event for event, rule in SOCKET_EVENTS.items() if rule is not Access.CLOSED}


async def test_a_request_finds_its_own_rule() -> None:
    for (method, path), rule in ROUTES.items():
        sample = _filled(path, dict.fromkeys([*_ANYTHING, *_NAMES_ANNS], "x"))
        assert access("GET" if method == "*" else method, sample) is rule, path
    assert access("GET", "/ws/socket.io/") is Access.SIGNED_IN
    assert access("POST", "/anything") is Access.SIGNED_IN


@pytest.mark.parametrize("who", OUTSIDE)
async def test_g5_routes_by_those_who_are_not_in(world: World, who: str) -> None:
    before = world.kept()
    async with httpx.AsyncClient(base_url=world.server.url) as web:
        for (method, path), rule in ROUTES.items():
            if method == "*":
                continue
            if rule in _CLOSED:
                request = {"method": method, "url": _filled(path, _ANYTHING)}
            else:
                request = _request(method, path, world.ids, world.ids["session"])
            answer = await web.request(**request, headers={"Cookie": world.cookies[who], "Origin": world.server.url})
            assert CANARY not in answer.text + str(answer.headers), path
            if rule is not Access.ANYBODY:
                assert answer.status_code == (404 if rule in _CLOSED else 401), path
        page = await web.get("/thread/x", headers={"Cookie": world.cookies[who], "Accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        assert (await web.get("/user", headers={"Cookie": world.cookies[who]})).status_code == 401
    assert world.kept() == before


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("session", ["Ann's", "their own"])
async def test_g5_s03_routes_by_other_people(world: World, who: str, session: str) -> None:
    before = world.kept()
    page = world.pages[who]
    ids = world.ids if session == "Ann's" else {**world.ids, "session": page.session_id}
    async with httpx.AsyncClient(base_url=world.server.url) as web:
        for method, path in _REACHABLE:
            if path == "/logout":
                continue
            request = _request(method, path, ids, ids["session"])
            answer = await web.request(**request, headers={"Cookie": world.cookies[who], "Origin": world.server.url})
            assert CANARY not in answer.text + str(answer.headers), path
            named = f"{method} {path}"
            may = ROUTES[method, path] is Access.ANYBODY or named in _HARMLESS
            # With a page of their own they may press and upload; a press for Ann's answer finds no answer.
            may = may or (session == "their own" and named in ("POST /project/action", "POST /project/file"))
            silent = session == "their own" and named.endswith("/project/element")
            if not may and not silent:
                assert answer.status_code == 404, named
    assert world.kept() == before
    assert CANARY not in str(page.events)


async def test_every_route_with_ids_is_tried_with_anns(world: World) -> None:
    for method, path in _REACHABLE:
        request = _request(method, path, world.ids, world.ids["session"])
        wanted = [name for name in _NAMES_ANNS if f"{{{name}}}" in path]
        assert all(world.ids[name] in request["url"] for name in wanted), path


@pytest.mark.parametrize("who", OUTSIDE)
async def test_g5_no_socket_for_those_who_are_not_in(world: World, who: str) -> None:
    for thread, session in (("", None), (world.ids["thread_id"], None), (world.ids["thread_id"], world.ids["session"])):
        with pytest.raises(Refused):
            async with ChatClient(world.server, world.cookies[who], thread, session):
                pass


@pytest.mark.parametrize("who", OTHERS)
async def test_g5_socket_events_by_other_people(world: World, who: str) -> None:
    before = world.kept()
    with pytest.raises(Refused):
        async with ChatClient(world.server, world.cookies[who], session_id=world.ids["session"]):
            pass
    with pytest.raises(Refused):
        async with ChatClient(world.server, world.cookies[who], session_id="../../../somewhere"):
            pass
    async with ChatClient(world.server, world.cookies[who], world.ids["thread_id"]) as page:
        assert page.saw("resume_thread_error")
        assert not page.saw("resume_thread")
        for event in sorted(set(SOCKET_EVENTS) - {"connect", "disconnect", "clear_session"}):
            for name in ("question", "answer"):
                await page.send(event, *_payload(event, world.ids, world.ids[name]))
        await page.until(lambda: bool(page.texts()))
        await page.say("nothing more")
        await page.until(lambda: any("nothing about this" in text for text in page.texts()))
        assert await page.thread() != world.ids["thread_id"]
        assert CANARY not in str(page.events)
    assert world.kept() == before
    assert not world.ann.saw("delete_message")


def _payload(event: str, ids: dict[str, str], message: str) -> list[Any]:
    """What a hostile page would send with an event."""
    step = {
        "id": message, "threadId": ids["thread_id"], "parentId": ids["answer"], "name": "Administrator",
        "type": "assistant_message", "output": "forged", "createdAt": "2026-01-01T00:00:00Z",
        "metadata": {"favorite": True},
    }  # fmt: skip
    known: dict[str, list[Any]] = {
        "client_message": [{"message": step, "fileReferences": [{"id": ids["file_id"]}]}],
        "edit_message": [{"message": step}],
        "message_favorite": [{"message": step}],
        "window_message": [{"hearth": "library", "do": "show", "document": ids["element_id"]}],
        "chat_settings_change": [{"thread": ids["thread_id"]}],
        "chat_settings_edit": [{"thread": ids["thread_id"]}],
        "audio_chunk": [{"isStart": True, "mimeType": "x", "elapsedTime": 0, "data": b""}],
    }
    return known.get(event, [])


async def test_c6_nobody_speaks_as_the_assistant(world: World) -> None:
    async with ChatClient(world.server, world.cookies["ben"]) as page:
        step = _payload("client_message", world.ids, str(uuid.uuid4()))[0]["message"]
        await page.send("client_message", {"message": step, "fileReferences": []})
        await page.answered()
        thread = (await page.http.get(f"/project/thread/{await page.thread()}")).json()
    [forged] = [kept for kept in thread["steps"] if kept["output"] == "forged"]
    assert (forged["type"], forged["name"], forged["parentId"]) == ("user_message", "ben", None)


async def test_the_owner_reaches_everything_and_deletes_it_for_good(world: World) -> None:
    """The power of the tests above: the same requests, made by Ann, do what they are for."""
    last = [("PUT", "/project/thread/share"), ("DELETE", "/feedback"), ("DELETE", "/project/thread")]
    ordered = [route for route in _REACHABLE if route not in last and route[1] not in ("/logout", "/login")] + last
    seen: set[str] = set()
    async with httpx.AsyncClient(base_url=world.server.url) as web:
        for method, path in ordered:
            request = _request(method, path, world.ids, world.ids["session"])
            if path == "/project/element":
                request["json"]["element"]["type"] = "file"  # Chainlit changes none but its own kind, and says so
            answer = await web.request(**request, headers={"Cookie": world.cookies["ann"], "Origin": world.server.url})
            # Not shared yet; and the names of what the page is made of change with every version.
            expected = 404 if path in ("/project/share/{thread_id}", "/assets/{filename:path}") else 200
            assert answer.status_code == expected, f"{method} {path}: {answer.text[:300]}"
            if CANARY in answer.text:
                seen.add(path)
    assert seen == {
        "/project/thread/{thread_id}", "/project/file/{file_id}", "/project/file/{thread_id}/{element_id}",
        "/project/threads", "/project/thread/{thread_id}/element/{element_id}",
        "/project/thread/{thread_id}/export/{form}",
    }  # fmt: skip
    assert not any(world.kept().values())


async def test_training_and_what_serves_are_the_administrators(world: World) -> None:
    for who, pressed, said in (
        ("ben", "not_administrator", "(`not_administrator`)"),
        ("root", "run_not_found", "Drop a table onto the chat"),
    ):
        page = world.pages[who]
        page.events.clear()
        await page.say("/train")
        await page.answered()
        assert said in page.texts()[0]
        await page.press({"name": "train", "payload": {"do": "promote", "run": "x"}, "id": f"forged-{who}"})
        await page.until(lambda page=page: len(page.texts()) > 1)  # type: ignore[misc]
        assert f"(`{pressed}`)" in page.texts()[1]
