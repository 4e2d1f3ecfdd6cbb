"""Two published versions of one model on the same message: what serves now, and the newer one beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import BertForSequenceClassification

from models.registry import Registry
from tests.chat.chat_client import ChatClient
from tests.chat.server_process import ServerProcess, free_port
from tests.models.tiny_tasks import save_bert

pytestmark = pytest.mark.asyncio(loop_scope="module")
_RUN = "reviews-2"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("versions")
    home = folder / "home"
    registry = Registry(home)
    for seed in (1, 2):
        made = save_bert(folder / str(seed), BertForSequenceClassification, labels=["praise", "complaint"], seed=seed)
        registry.add(made, "reviews", "classify", licence="mit")
    registry.promote("reviews@1")
    run = home / "runs" / _RUN
    run.mkdir(parents=True)
    (run / "recipe.json").write_text("{}")
    (run / "published.json").write_text(json.dumps({"name": "reviews@2", "role": "classify", "run": _RUN}))
    script = Path(__file__).with_name("serve_training.py")
    command = [sys.executable, str(script), str(home), str(free_port()), "none"]
    with ServerProcess(command, folder / "server.log") as running:
        yield running


async def test_old_and_new_answer_the_same_message(client: ChatClient) -> None:
    await client.press({"name": "train", "id": "compare", "payload": {"do": "compare", "run": _RUN}})
    await client.until(lambda: any("next message" in text for text in client.texts()))
    await client.say("The lamp is *lovely*.")
    await client.until(lambda: "| model | gives | ms |" in client.texts()[-1], seconds=60)
    quoted, _, _, _, old, new = client.texts()[-1].splitlines()
    assert quoted == "> The lamp is \\*lovely\\*."
    assert old.startswith("| reviews@1 | ")
    assert new.startswith("| reviews@2 | ")
    assert old.split("|")[2] != new.split("|")[2]
    client.events.clear()
    await client.say("nothing")  # the message after goes to the assistant again
    await client.answered()
    assert client.texts()[0].startswith("There is nothing")
