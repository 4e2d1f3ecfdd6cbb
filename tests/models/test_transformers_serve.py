"""A real server on loopback, `transformers serve` with the embedded model, as the remote chat model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import AIMessageChunk

from agent.assistant import Assistant
from agent.settings import load_settings
from models import open_chat_model
from models.catalog import SMOLLM2
from models.prepare import prepared_folder
from models.remote import RemoteFailed
from models.remote_chat import RemoteChat
from retrieval import Library
from tests.doubles import HashEmbeddings

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(300)]
_START_SECONDS = 120
_LIGHTHOUSE = "The lighthouse of Varn was built in 1847 by Ida Holm. It is 41 metres tall and still in use."


@pytest.fixture(scope="module")
def name(prepared_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the served model; the server runs offline in a process of its own."""
    folder = prepared_folder(SMOLLM2, prepared_models)
    assert folder is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("wb") as stream:
        server = subprocess.Popen(
            command,
            stdout=stream,
            stderr=stream,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1#{folder}"
    finally:
        server.terminate()
        server.wait(20)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"the server did not come up:\n{log.read_text(errors='replace')[-2000:]}")


@pytest.fixture
def model(name: str, tmp_path: Path) -> RemoteChat:
    opened = open_chat_model(name, home=tmp_path, max_new_tokens=24)
    assert isinstance(opened, RemoteChat)
    return opened


def test_it_answers_with_its_usage(model: RemoteChat) -> None:
    answer = model.invoke("What is the capital of France?")
    assert "Paris" in str(answer.content)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0


def test_it_streams_and_stops_exactly(model: RemoteChat) -> None:
    chunks = list(model.stream("What is the capital of France?"))
    assert sum(bool(chunk.content) for chunk in chunks) > 3
    whole = AIMessageChunk(content="")
    for chunk in chunks:
        whole = whole + chunk
    text = str(whole.content)
    stop = text.split()[2]
    assert model.invoke("What is the capital of France?", stop=[stop]).content == text[: text.index(stop)]


def test_q08_it_can_be_cancelled_and_asked_again(model: RemoteChat) -> None:
    cancel = threading.Event()
    chunks = []
    for chunk in model.stream("Tell a very long story about a lighthouse.", cancel=cancel, max_new_tokens=400):
        chunks.append(chunk)
        if len(chunks) == 4:
            cancel.set()
    assert len(chunks) < 8
    assert "cancelled" in [chunk.response_metadata.get("finish_reason") for chunk in chunks]
    assert model.invoke("What is the capital of France?").content


def test_it_answers_from_documents_with_a_citation(name: str, tmp_path: Path) -> None:
    (tmp_path / "lighthouse.txt").write_text(_LIGHTHOUSE, encoding="utf-8")
    settings = load_settings({"home": str(tmp_path), "relevance_floor": 0.2})
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add([tmp_path / "lighthouse.txt"])
        model = open_chat_model(name, home=tmp_path, max_new_tokens=48)
        answer = Assistant(model, library, settings).ask("Who built the lighthouse of Varn?")
    assert "Ida Holm" in answer.text
    assert answer.sources[0].document == "lighthouse.txt"
    assert answer.model == name


def test_a_model_that_it_does_not_serve_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(RemoteFailed, match=r"127\.0\.0\.1"):
        open_chat_model(f"{name.partition('#')[0]}#org/nothing", home=tmp_path).invoke("Hello")
