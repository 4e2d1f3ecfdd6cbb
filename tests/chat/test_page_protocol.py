"""The real server in its own process, driven over http and websocket: what a page sees and what a stranger does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio

from tests.chat.chat_client import ChatClient
from tests.chat.conftest import LIMIT
from tests.chat.server_process import ServerProcess, free_port, scripted_server
from tests.pdf import write_pdf

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_question_is_answered_with_a_step_and_streamed_text(client: ChatClient) -> None:
    await client.say("How big was the harvest? nothing")
    await client.answered()
    tools = [step for step in client.messages().values() if step["type"] == "tool"]
    assert [tool["name"] for tool in tools] == ["search · 12 ms"]
    assert "How big was the harvest?" in tools[0]["input"]
    assert tools[0]["output"]
    assert tools[0]["end"]
    assert client.saw("stream_start")
    assert client.texts() == ["There is nothing about this in your documents.\n\n*scripted*"]


async def test_a_dropped_pdf_is_cited_and_opens_at_its_page(client: ChatClient, tmp_path: Path) -> None:
    pdf = write_pdf(tmp_path / "r.pdf", ["One.", "The quarterly harvest was nine tonnes."])
    uploaded = await client.upload("../harvest.pdf", pdf.read_bytes(), "application/pdf")
    await client.say("How big was the harvest?", [uploaded.json()["id"]])
    await client.answered()
    notice, answer = client.texts()
    assert notice == "✓ `harvest.pdf` in this chat: 2 pages, 3 passages"
    assert "[1](#source-1)" in answer

    labels = {action["label"]: action for action in client.data("action")}
    assert set(labels) == {"Keep in library", "[1] harvest.pdf, page 2", "Correct", "Summarize harvest.pdf"}
    assert (await client.press(labels["[1] harvest.pdf, page 2"])).status_code == 200
    await client.until(lambda: client.saw("set_sidebar_elements"))
    assert client.data("set_sidebar_title") == ["[1] harvest.pdf, page 2"]
    quote, shown = client.data("set_sidebar_elements")[0]["elements"]
    assert shown["type"] == "pdf"
    assert shown["page"] == 2
    file = await client.http.get(f"/project/file/{shown['chainlitKey']}", params={"session_id": client.session_id})
    assert file.content == pdf.read_bytes()
    assert file.headers["content-type"] == "application/pdf"
    text = await client.http.get(f"/project/file/{quote['chainlitKey']}", params={"session_id": client.session_id})
    assert text.text == "> The quarterly harvest was nine tonnes."


async def test_a_text_source_opens_with_the_quote_marked(client: ChatClient) -> None:
    uploaded = await client.upload("notes.md", b"# Barns\n\nOld *hay*.\nThe silo holds forty tonnes.", "text/markdown")
    await client.say("How big is the silo?", [uploaded.json()["id"]])
    await client.answered()
    labels = {action["label"]: action for action in client.data("action")}
    await client.press(labels["[1] notes.md"])
    await client.until(lambda: client.saw("set_sidebar_elements"))
    key = client.data("set_sidebar_elements")[0]["elements"][0]["chainlitKey"]
    text = await client.http.get(f"/project/file/{key}", params={"session_id": client.session_id})
    assert text.text == "\\# Barns\n\nOld \\*hay\\*.\n**The silo holds forty tonnes.**"


async def test_keeping_a_document_makes_it_everyones(client: ChatClient, server: ServerProcess, cookie: str) -> None:
    uploaded = await client.upload("kept.txt", b"The well is twelve metres deep.")
    await client.say("How deep is the well?", [uploaded.json()["id"]])
    await client.answered()
    keep = next(action for action in client.data("action") if action["name"] == "keep")

    async with ChatClient(server, cookie) as stranger:
        refused = await stranger.press(keep)
        assert refused.status_code == 200
        await stranger.until(lambda: stranger.saw("toast"))
        assert "not dropped into this chat" in stranger.data("toast")[0]["message"]

    await client.press(keep)
    await client.until(lambda: any("kept in the library" in text for text in client.texts()))
    await client.until(lambda: client.saw("remove_action"))
    async with ChatClient(server, cookie) as other:
        await other.say("What is in my library?")
        await other.answered()
        assert "kept.txt" in other.texts()[0]


async def test_d01_an_empty_file_gets_a_reason_and_its_neighbour_gets_in(client: ChatClient) -> None:
    files = [
        (await client.upload("empty.txt", b"")).json()["id"],
        (await client.upload("full.txt", b"Words.")).json()["id"],
    ]
    await client.say("", files)
    await client.answered()
    assert client.texts() == ["✗ `empty.txt` is empty: nothing was added.\n✓ `full.txt` in this chat: 3 passages"]


async def test_each_file_of_many_says_how_far_it_is(client: ChatClient) -> None:
    names = ("first.txt", "long.txt", "last.txt")
    files = [(await client.upload(name, name.encode())).json()["id"] for name in names]
    await client.say("", files)
    await client.answered()
    states = [data["output"] for data in client.data("update_message") if "first.txt" in data["output"]]
    reading = [state.splitlines()[1] for state in states if "long.txt` is being read" in state]
    assert reading == [f"· `long.txt` is being read …{percent}" for percent in ("", " 25 %", " 50 %")]
    assert all(state.splitlines()[2] == "· `last.txt` waiting" for state in states if " %" in state)
    assert client.texts()[-1] == "\n".join(f"✓ `{name}` in this chat: 3 passages" for name in names)


@pytest.mark.parametrize("text", ["", "   ", "\n", "🙂", "?!"])
async def test_q01_a_message_that_says_nothing_gets_a_hint(client: ChatClient, text: str) -> None:
    await client.say(text)
    await client.answered()
    assert client.texts() == ["Type a question, or drop a document here and ask about it."]


async def test_q02_a_very_long_message_arrives(client: ChatClient) -> None:
    await client.say("fail " + "x" * (3 * 2**20))
    await client.answered()
    assert client.texts() == ["The question has 100,000 tokens; the model takes 8,192: shorten it. (`too_long`)"]


async def test_c9_an_unexpected_error_shows_an_id_and_the_trace_is_in_the_log(
    client: ChatClient, server: ServerProcess
) -> None:
    await client.say("crash")
    await client.answered()
    (text,) = client.texts()
    assert "secret" not in text
    found = re.search(r"under `([0-9a-f]{8})`", text)
    assert found is not None
    log = (server.log.parent / "home" / "logs" / "chat.log").read_text()
    assert f"error {found[1]}" in log
    assert "secret /internal/path" in log


async def test_p02_nothing_live_leaves_the_server(client: ChatClient) -> None:
    from tests.chat.test_inert import live_parts

    await client.say("evil")
    await client.answered()
    states = [text for text in client.texts() if text]
    tokens = "".join(data["token"] for data in client.data("stream_token"))
    assert states
    assert live_parts(states[-1]) == []
    assert "](http" not in tokens


async def test_q08_stop_ends_the_answer_within_half_a_second(client: ChatClient) -> None:
    for _ in range(5):
        client.events.clear()
        await client.say("slow")
        await client.until(lambda: len(client.data("stream_token")) > 2)
        began = asyncio.get_running_loop().time()
        await client.stop()
        await client.stop()
        await client.answered()
        assert asyncio.get_running_loop().time() - began < 0.5
        assert client.texts()[-1].endswith("*Stopped.*")
        assert "Task manually stopped" not in str(client.events)
    await client.stop()
    client.events.clear()
    await client.say("nothing after stop")
    await client.answered()
    assert client.texts() == ["There is nothing about this in your documents.\n\n*scripted*"]


async def test_q07_a_second_message_is_told_to_wait_and_stop_still_works(client: ChatClient) -> None:
    await client.say("slow")
    await client.until(lambda: len(client.data("stream_token")) > 2)
    for _ in range(19):
        await client.say("another")
    await client.until(lambda: sum("still answering" in text for text in client.texts()) == 19)
    await client.stop()
    await client.until(lambda: any(text.endswith("*Stopped.*") for text in client.texts()), seconds=2)


async def test_q09_editing_an_earlier_message_ends_the_running_answer(client: ChatClient) -> None:
    first = await client.say("one")
    await client.answered()
    client.events.clear()
    await client.say("slow")
    await client.until(lambda: len(client.data("stream_token")) > 2)
    await client.edit(first, "nothing")
    await client.until(lambda: any(text.startswith("There is nothing") for text in client.texts()))
    running = next(data["id"] for data in client.data("stream_start"))
    assert running in [data["id"] for data in client.data("delete_message")]
    assert not any(text.endswith("*Stopped.*") for text in client.texts())


async def test_c11_s06_leaving_frees_the_turn(server: ServerProcess, cookie: str) -> None:
    client = ChatClient(server, cookie)
    async with client:
        await client.say("slow")
        await client.until(lambda: len(client.data("stream_token")) > 2)
        await client.leave()
        begun = len(client.events)
        await asyncio.sleep(0.6)
        assert len(client.events) == begun


async def test_c1_c2_foreign_pages_get_no_socket_and_no_answer(server: ServerProcess, cookie: str) -> None:
    for headers in (
        {"Cookie": cookie, "Origin": "http://evil.example"},
        {"Cookie": cookie, "Origin": "null"},
        {"Cookie": cookie},
        {"Origin": server.url},
        {"Cookie": cookie, "Origin": server.url, "Sec-Fetch-Site": "cross-site"},
    ):
        stranger = socketio.AsyncClient(reconnection=False)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await stranger.connect(server.url, headers=headers, socketio_path="/ws/socket.io", transports=["websocket"])
    async with httpx.AsyncClient(base_url=server.url) as web:
        foreign = {"Cookie": cookie, "Origin": "http://evil.example"}
        answer = await web.get("/project/settings", headers=foreign)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        assert (await web.options("/project/file", headers=foreign)).status_code == 403


async def test_s08_every_file_of_the_page_stays_on_this_host(client: ChatClient) -> None:
    page = await client.http.get("/", headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    assert page.status_code == 200
    assert not re.search(r'(?:href|src|content)="(?:https?:)?//', page.text)
    assert "<title>Hearth</title>" in page.text
    for path in re.findall(r'(?:href|src)="(/[^"]+)"', page.text):
        file = await client.http.get(path)
        assert file.status_code == 200, path
        assert file.headers["x-content-type-options"] == "nosniff"
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert page.headers["content-security-policy"].count("'sha256-") == len(inline)
    settings = (await client.http.get("/project/settings")).json()
    assert settings["features"]["unsafe_allow_html"] is False
    assert settings["features"]["spontaneous_file_upload"]["max_size_mb"] == LIMIT // 2**20


async def test_c10_uploads_over_the_limit_are_refused(client: ChatClient) -> None:
    declared = await client.upload("big.txt", b"x" * (LIMIT + 2**20))
    assert declared.status_code == 413
    assert "2 MB" in declared.json()["detail"]

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        yield b"Content-Type: text/plain\r\n\r\n"
        for _ in range(LIMIT // 2**16 + 100):
            yield b"x" * 2**16

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    params = {"session_id": client.session_id}
    chunked = await client.http.post("/project/file", params=params, content=endless(), headers=headers)
    assert chunked.status_code == 413


async def test_s09_a_dropped_web_page_is_saved_not_shown(client: ChatClient) -> None:
    uploaded = await client.upload("page.html", b"<script>alert(1)</script>", "text/html")
    params = {"session_id": client.session_id}
    served = await client.http.get(f"/project/file/{uploaded.json()['id']}", params=params)
    assert served.headers["content-disposition"] == "attachment"
    assert served.headers["content-type"] == "application/octet-stream"


async def test_the_terminal_shows_links_and_no_questions(server: ServerProcess, cookie: str) -> None:
    output = server.output()
    assert output.startswith("Hearth is ready: http://127.0.0.1:")
    assert "harvest" not in output
    assert "Traceback" not in output


async def test_s01_a_second_server_on_the_port_says_who_holds_it(server: ServerProcess, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    done = await _hearth("chat", "--headless", "--port", port, "--home", str(tmp_path))
    assert done == (1, f"hearth: port_in_use: Port {port} is in use by", str(server.process.pid))


async def test_s11_another_address_is_refused(tmp_path: Path) -> None:
    status, beginning, _ = await _hearth(
        "chat", "--headless", "--host", "0.0.0.0", "--home", str(tmp_path), until=" so"
    )
    assert status == 1
    assert beginning.startswith("hearth: not_loopback: The chat listens on this machine only")


async def test_k15_the_end_is_quick_and_leaves_no_folder(tmp_path: Path) -> None:
    server = scripted_server(tmp_path)
    async with ChatClient(server, server.enter()) as client:
        await client.say("slow")
        await client.until(lambda: client.saw("stream_token"))
        began = asyncio.get_running_loop().time()
        assert await asyncio.to_thread(server.stop) == 0
        assert asyncio.get_running_loop().time() - began < 10
    assert not list((tmp_path / "home" / "chat").iterdir())


async def test_chainlits_own_command_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHAINLIT_APP_ROOT", str(tmp_path))
    app = Path(__file__).resolve().parents[2] / "chainlit_app.py"
    command = [sys.executable, "-m", "chainlit", "run", str(app), "--headless", "--port", str(free_port())]
    with ServerProcess(command, tmp_path / "log") as server:
        async with httpx.AsyncClient() as web:
            assert (await web.get(server.url)).status_code == 401
            assert (await web.get(server.link)).status_code == 303


async def _hearth(*arguments: str, until: str = " in use by") -> tuple[int | None, str, str]:
    """Exit status of a command, and its error output split around a process id."""
    import sys

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hearth", *arguments, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, error = await asyncio.wait_for(process.communicate(), 60)
    text = error.decode()
    number: Any = re.search(r"\(process (\d+)\)", text)
    before = text.partition(until)[0] + (until if until in text else "")
    return process.returncode, before, number[1] if number else ""
