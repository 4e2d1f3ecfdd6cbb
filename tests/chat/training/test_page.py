"""Training over the page's own socket, from a dropped table to two models side by side, with a tiny encoder."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from chat.training import process
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess, free_port
from tests.chat.training.tables import reviews, write_csv
from tests.models.conftest import save_tiny_encoder

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECONDS = 90


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training") / "home"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[ServerProcess]:
    encoder = save_tiny_encoder(home.parent / "encoder")
    script = Path(__file__).with_name("serve_training.py")
    command = [sys.executable, str(script), str(home), str(free_port()), str(encoder)]
    with ServerProcess(command, home.parent / "server.log") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(server: ServerProcess, cookie: str) -> AsyncIterator[ChatClient]:
    async with ChatClient(server, cookie) as opened:
        opened.http.timeout = SECONDS
        yield opened


async def drop(client: ChatClient, path: Path, text: str = "") -> None:
    """Hands a file to the page, with some words or none."""
    uploaded = await client.upload(path.name, path.read_bytes(), "text/csv")
    assert uploaded.status_code == 200, uploaded.text
    done = len(client.data("task_end"))
    await client.say(text, [uploaded.json()["id"]])
    await client.until(lambda: len(client.data("task_end")) > done, seconds=SECONDS)


async def press(client: ChatClient, label: str) -> str:
    """Presses the newest button of that label; gives the message that comes of it."""
    await client.until(lambda: label in labels(client), seconds=SECONDS)
    action = next(action for action in reversed(client.data("action")) if action["label"] == label)
    before = len(client.texts())
    assert (await client.press(action)).status_code == 200
    await client.until(lambda: len(client.texts()) > before or label not in labels(client))
    return client.texts()[-1]


def labels(client: ChatClient) -> list[str]:
    """The buttons that are there now."""
    gone = [action["id"] for action in client.data("remove_action")]
    return [action["label"] for action in client.data("action") if action["id"] not in gone]


@pytest.mark.real_model  # no real model, but as many processes as take real time
async def test_from_a_table_to_a_promoted_classifier(client: ChatClient, home: Path, tmp_path: Path) -> None:
    await drop(client, write_csv(tmp_path / "reviews.csv", ["review", "kind"], reviews()))
    assert "`reviews.csv` is a table of 80 rows: `review`, `kind`." in client.texts()
    checked = await press(client, "Train a classifier on this")
    assert checked.startswith("**Training on `reviews.csv`**, columns `review` and `kind`")
    labels_found = re.compile(r"\| labels \| (praise|complaint) \d+, (praise|complaint) \d+ \|")
    await client.until(lambda: labels_found.search(client.texts()[-1]) is not None, seconds=SECONDS)
    await client.until(lambda: "Train a classifier on this" not in labels(client))

    await press(client, "Start")
    await client.until(lambda: "is trained**" in client.texts()[-1], seconds=SECONDS)
    run = process.runs(home)[-1]
    assert client.saw("element")
    ended = client.texts()[-1]
    assert f"**`{run.name}` is trained**" in ended
    assert re.search(r"accuracy \*\*\d\.\d{4}\*\* \(95 % \d\.\d{4} to \d\.\d{4}\) on \d+ rows of the test part", ended)
    assert "**The gate is open.**" in ended
    await client.until(lambda: "Stop" not in labels(client))

    assert await press(client, "Publish") == "`reviews@1` is in the registry; promoted, it serves classify."
    assert await press(client, "Promote") == "`reviews@1` serves classify from the next question on."
    assert "next message" in await press(client, "Old against new")
    await client.say("The lamp is *lovely*.")
    await client.until(lambda: "| model | gives | ms |" in client.texts()[-1], seconds=SECONDS)
    assert re.search(r"\| reviews@1 \| (praise|complaint) 0\.\d\d \| \d+ \|", client.texts()[-1])
    assert "no older model" in client.texts()[-1]
    report = next(action for action in client.data("action") if action["label"] == "Show report")
    await client.press(report)
    await client.until(lambda: client.saw("set_sidebar_elements"))
    shown = client.data("set_sidebar_elements")[-1]["elements"]
    assert shown[0]["type"] == "text"
    assert {one["name"] for one in shown} >= {"loss", "confusion", f"{run.name}.html"}
    told = await press(client, "Roll back")
    assert told == "Nothing serves classify from the next question on. Before: `reviews@1`."
    async with ChatClient(client.server, str(client.http.headers["Cookie"]), await client.thread()) as again:
        await again.until(lambda: "Promote" in labels(again), seconds=SECONDS)
        assert {"Old against new", "Show report"} <= set(labels(again))
        [resumed] = again.data("resume_thread")
        assert any(f"**`{run.name}` is trained**" in step["output"] for step in resumed["steps"])


async def test_the_next_visit_finds_a_training_and_stops_it(
    client: ChatClient, server: ServerProcess, cookie: str, home: Path, tmp_path: Path
) -> None:
    await drop(client, write_csv(tmp_path / "many.csv", ["text", "label"], reviews(400)), "/train")
    assert not any("in this chat" in text for text in client.texts())  # a table to train on is no document to ask about
    await press(client, "Start")
    run = process.running(home)
    assert run is not None
    await client.leave()
    async with ChatClient(server, cookie) as visitor:
        await visitor.say("/train")
        await visitor.answered()
        assert visitor.texts()[0].startswith(f"**Training `{run.name}`**")
        await drop(visitor, write_csv(tmp_path / "other.csv", ["text", "label"], reviews(30)), "/train")
        await press(visitor, "Start")
        await visitor.until(lambda: any("(`training_runs`)" in text for text in visitor.texts()))
        await visitor.until(lambda: any(" · loss " in text for text in visitor.texts()), seconds=SECONDS)
        await press(visitor, "Stop")
        await visitor.until(lambda: any("was stopped**" in text for text in visitor.texts()), seconds=SECONDS)
        await visitor.until(lambda: "Go on" in labels(visitor))


async def test_columns_that_cannot_be_told_are_asked_for(client: ChatClient, tmp_path: Path) -> None:
    rows = [(text, label, "north" if index % 3 else "south") for index, (text, label) in enumerate(reviews(30))]
    await drop(client, write_csv(tmp_path / "two.csv", ["said", "kind", "region"], rows), "/train")
    assert client.texts() == ["Which column of `two.csv` holds the label?"]
    assert sorted(labels(client)) == ["kind", "region"]


async def test_contradicting_rows_are_told_and_may_be_borne(client: ChatClient, tmp_path: Path) -> None:
    rows = reviews(40)
    contrary = [(text, "complaint" if label == "praise" else "praise") for text, label in rows[:10]]
    await drop(client, write_csv(tmp_path / "torn.csv", ["text", "label"], [*rows, *contrary]), "/train")
    assert "(`contradiction`)" in client.texts()[-1] or "(`leak`)" in client.texts()[-1]
    await press(client, "Go on all the same")
    await client.until(lambda: "| faults | " in client.texts()[-1], seconds=SECONDS)
    await client.until(lambda: "Start" in labels(client))


@pytest.mark.parametrize(
    "payload",
    [
        {"do": "columns", "table": "../../etc/passwd"}, {"do": "start", "recipe": ".."}, {"do": "stop", "run": "../x"},
        {"do": "report", "run": "nothing"}, {"do": "publish"}, {"do": "promote", "run": 7},
    ],
)  # fmt: skip
async def test_s03_a_forged_button_reaches_nothing(client: ChatClient, payload: dict[str, Any]) -> None:
    await client.press({"name": "train", "payload": payload, "id": "forged"})
    await client.until(lambda: bool(client.texts()))
    assert re.search(r"\(`(table_not_found|run_not_found)`\)", client.texts()[-1])


async def test_a_file_that_is_no_table_gets_its_sentence(client: ChatClient, tmp_path: Path) -> None:
    (tmp_path / "torn.csv").write_text("text,label\nonly one\n")
    await drop(client, tmp_path / "torn.csv", "/train")
    assert client.texts() == [
        "torn.csv, line 2: 1 fields were found and the header has 2; quote fields that hold commas. (`bad_data`)"
    ]
