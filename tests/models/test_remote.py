"""Models on other machines, against a small server on loopback: answers, stops, keys, errors, embeddings."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from models.chat import LocalChatModel, open_chat_model
from models.embeddings import open_embeddings
from models.endpoint import BadEndpoint, parse_endpoint
from models.errors import BadOption, MissingExtra, ModelError, ModelNotFound
from models.remote import RemoteFailed, RemoteOptions, about_tokens
from models.remote_chat import RemoteChat
from tests.models.fake_openai import Script, serving

KEY = "sk-very-secret-123"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    with serving(script) as url:
        yield url


@pytest.fixture(params=["openai", "hf-endpoint"])
def model(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> RemoteChat:
    """The same server through both packages."""
    name = f"{url}#tiny" if request.param == "openai" else f"hf-endpoint:{url.removesuffix('/v1')}"
    options = RemoteOptions(api_key=KEY, context_tokens=1000, timeout_seconds=5)
    opened = open_chat_model(name, home=tmp_path, remote=options, max_new_tokens=50, engine="auto")
    assert isinstance(opened, RemoteChat)
    return opened


def join(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


def test_answers_stream_with_their_usage(model: RemoteChat, script: Script) -> None:
    chunks = list(model.stream([SystemMessage("Be brief."), HumanMessage("How large are blue whales?")]))
    assert [chunk.content for chunk in chunks if chunk.content] == script.words
    whole = join(chunks)
    assert whole.usage_metadata is not None
    assert (whole.usage_metadata["input_tokens"], whole.usage_metadata["output_tokens"]) == (11, 5)
    assert whole.response_metadata["finish_reason"] == "stop"
    asked = script.requests[0]
    assert asked["path"] == "/v1/chat/completions"
    assert [message["role"] for message in asked["body"]["messages"]] == ["system", "user"]
    assert asked["body"]["max_tokens"] == 50
    assert asked["body"]["temperature"] == 0.0
    assert asked["headers"]["authorization"] == f"Bearer {KEY}"
    assert model.invoke("And now?").content == "Blue whales are large."


def test_what_only_a_local_model_knows_is_not_sent(model: RemoteChat, script: Script) -> None:
    model.invoke("Hello", prompt_lookup=True, user="anna", cancel=threading.Event(), max_new_tokens=7)
    body = script.requests[0]["body"]
    assert not {"prompt_lookup", "user", "cancel", "max_new_tokens"} & body.keys()
    assert body["max_tokens"] == 7


def test_stop_strings_cut_exactly_even_where_the_server_shows_them(model: RemoteChat, script: Script) -> None:
    script.words = ["One", " two.", "\nQues", "tion: three", " four", " five"] + [" more"] * 50
    script.seconds_a_word = 0.01
    answer = model.invoke("Count", stop=["\nQuestion:"])
    assert answer.content == "One two."
    assert script.requests[0]["body"]["stop"] == ["\nQuestion:"]
    assert script.hung_up.wait(5), "the server still sends"


async def test_async_gives_the_same(model: RemoteChat) -> None:
    assert (await model.ainvoke("Hello")).content == "Blue whales are large."
    chunks = [chunk async for chunk in model.astream("Hello")]
    assert join(chunks).content == "Blue whales are large."


def test_q08_cancel_ends_the_answer_at_once_and_hangs_up(model: RemoteChat, script: Script) -> None:
    script.words, script.seconds_a_word = ["word "] * 200, 0.05
    cancel = threading.Event()
    chunks = []
    for chunk in model.stream("Hello", cancel=cancel):
        chunks.append(chunk)
        if len(chunks) == 3:
            cancel.set()
            began = time.monotonic()
    assert time.monotonic() - began < 0.5
    assert join(chunks).response_metadata["finish_reason"] == "cancelled"
    assert script.hung_up.wait(5)


def test_q08_cancel_does_not_wait_for_a_server_that_says_nothing(model: RemoteChat, script: Script) -> None:
    script.seconds_a_word = 3.0
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    began = time.monotonic()
    assert model.invoke("Hello", cancel=cancel).response_metadata["finish_reason"] == "cancelled"
    assert time.monotonic() - began < 1.5


async def test_q08_a_cancelled_task_hangs_up(model: RemoteChat, script: Script) -> None:
    script.words, script.seconds_a_word = ["word "] * 200, 0.05
    task = asyncio.create_task(model.ainvoke("Hello"))
    while not script.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(script.hung_up.wait, 5)


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return city


def test_tools_are_offered_and_their_calls_parsed(model: RemoteChat, script: Script) -> None:
    script.tool_call = ("weather", '{"city": "Oslo"}')
    answer = model.bind_tools([weather]).invoke("What is the weather in Oslo?")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", {"city": "Oslo"})]
    assert script.requests[0]["body"]["tools"][0]["function"]["name"] == "weather"


class Animal(BaseModel):
    """An animal."""

    name: str
    legs: int


def test_structured_output_asks_for_the_schema(url: str, script: Script, tmp_path: Path) -> None:
    script.words = ['{"name": "wha', 'le", "legs": 0}']
    model = open_chat_model(f"{url}#tiny", home=tmp_path)
    assert model.with_structured_output(Animal).invoke("A whale") == Animal(name="whale", legs=0)
    assert script.requests[0]["body"]["response_format"]["type"] == "json_schema"


def test_tokens_are_counted_without_downloading_a_tokenizer(model: RemoteChat, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("get_encoding", "encoding_for_model"):
        monkeypatch.setattr(tiktoken, name, lambda *_: pytest.fail("a tokenizer was asked for"))
    text = "The quick brown fox jumps over the lazy dog. " * 10
    assert 100 <= model.get_num_tokens(text) <= 150
    assert model.get_num_tokens("汶川大地震") == 5
    assert len(model.get_token_ids(text)) == model.get_num_tokens(text)
    messages = [SystemMessage(text), HumanMessage(text)]
    assert model.get_num_tokens_from_messages(messages) >= 2 * model.get_num_tokens(text)
    assert model.max_input_tokens == 950
    assert model.profile is not None
    assert model.profile["max_input_tokens"] == 950


def test_the_estimate_is_rather_too_high(tiny_chat: LocalChatModel) -> None:
    for text in ("", "a", "Passages have numbers; answers name them.", "Grüße aus Köln"):
        assert about_tokens(text) >= len(text) / 4.5


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "refused the API key"), (404, "no such model"), (429, "status 429"), (503, "status 503")],
)
def test_a_refusal_is_one_sentence_without_the_key(model: RemoteChat, script: Script, status: int, reason: str) -> None:
    script.status = status
    with pytest.raises(RemoteFailed, match=reason) as found:
        model.invoke("Hello")
    assert found.value.code == "remote_failed"
    assert found.value.host == "127.0.0.1"
    assert KEY not in str(found.value)
    assert KEY not in repr(model)


def test_nobody_listening_is_one_sentence(tmp_path: Path) -> None:
    with serving(Script()) as url:
        pass
    for name in (f"{url}#tiny", f"hf-endpoint:{url.removesuffix('/v1')}"):
        with pytest.raises(RemoteFailed, match="the connection failed"):
            open_chat_model(name, home=tmp_path).invoke("Hello")


def test_silence_ends_at_the_time_limit(url: str, script: Script, tmp_path: Path) -> None:
    script.seconds_a_word = 30.0
    model = open_chat_model(f"{url}#tiny", home=tmp_path, remote=RemoteOptions(timeout_seconds=0.3))
    with pytest.raises(RemoteFailed, match=r"nothing came for 0\.3 seconds"):
        model.invoke("Hello")


def test_a_server_of_another_kind_is_one_sentence(url: str, script: Script, tmp_path: Path) -> None:
    script.raw = b"<html>hello</html>"
    with pytest.raises(RemoteFailed):
        open_embeddings(f"{url}#tiny", home=tmp_path).embed_query("text")


def test_an_option_that_the_interface_does_not_have_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="beams"):
        open_chat_model(f"{url}#tiny", home=tmp_path).invoke("Hello", beams=4)


def test_without_a_key_the_persons_own_is_not_taken(
    url: str, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", KEY)
    for name in (f"{url}#tiny", f"hf-endpoint:{url.removesuffix('/v1')}"):
        open_chat_model(name, home=tmp_path).invoke("Hello")
    open_embeddings(f"{url}#tiny", home=tmp_path).embed_query("text")
    assert not any(KEY in str(asked) for asked in script.requests)


def test_embeddings_are_sent_as_text(url: str, script: Script, tmp_path: Path) -> None:
    embeddings = open_embeddings(f"{url}#encoder", home=tmp_path, remote=RemoteOptions(api_key=KEY))
    assert embeddings.embed_documents(["ab", "abcd"]) == [[2.0, 1.0, 0.0], [4.0, 1.0, 0.0]]
    assert embeddings.embed_query("abc") == [3.0, 1.0, 0.0]
    assert embeddings.embed_documents([]) == []
    assert [asked["body"]["input"] for asked in script.requests] == [["ab", "abcd"], ["abc"]]
    assert script.requests[0]["headers"]["authorization"] == f"Bearer {KEY}"


def test_the_hub_stays_closed_beside_an_open_endpoint(model: RemoteChat) -> None:
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

    assert model.invoke("Hello").content
    with pytest.raises(OfflineModeIsEnabled):
        huggingface_hub.HfApi().model_info("org/name")


def test_a_missing_package_names_the_command(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'hearth\[remote\]'"):
        open_chat_model(f"{url}#tiny", home=tmp_path)
    with pytest.raises(MissingExtra):
        open_embeddings(f"{url}#tiny", home=tmp_path)


def test_a_local_model_is_not_made_of_an_address(url: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="open_chat_model"):
        LocalChatModel(model=f"{url}#tiny", home=tmp_path)


@pytest.mark.parametrize(
    ("name", "provider", "address", "model", "host"),
    [
        ("http://127.0.0.1:8001/v1#m", "openai", "http://127.0.0.1:8001/v1", "m", "127.0.0.1"),
        ("http://192.168.1.4/v1/#org/m", "openai", "http://192.168.1.4/v1", "org/m", "192.168.1.4"),
        ("http://gpu-box:8000/v1#m", "openai", "http://gpu-box:8000/v1", "m", "gpu-box"),
        ("https://llm.example.org/v1#m", "openai", "https://llm.example.org/v1", "m", "llm.example.org"),
        ("hf-endpoint:org/name", "hf-endpoint", "org/name", "org/name", "router.huggingface.co"),
        ("hf-endpoint:https://x.example.org", "hf-endpoint", "https://x.example.org", "", "x.example.org"),
    ],
)
def test_addresses_are_read(name: str, provider: str, address: str, model: str, host: str) -> None:
    found = parse_endpoint(name)
    assert found is not None
    assert (found.provider, found.address, found.model, found.host) == (provider, address, model, host)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("http://8.8.8.8/v1#m", "unencrypted"),
        ("http://llm.example.org/v1#m", "unencrypted"),
        ("https://llm.example.org/v1", "which model"),
        ("https://anna:secret@llm.example.org/v1#m", "password"),
        ("http://#m", "no host"),
        ("http://[::1", "IPv6"),
        ("hf-endpoint:", "no host"),
        ("hf-endpoint:ftp://x.example.org", "no host"),
    ],
)
def test_addresses_that_are_not_safe_or_not_whole_are_refused(name: str, reason: str) -> None:
    with pytest.raises(BadEndpoint, match=reason) as found:
        parse_endpoint(name)
    assert isinstance(found.value, ModelError)
    assert "secret" not in str(found.value)


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "org/name", "./folder", "httpd", "hf-endpoint"])
def test_other_names_are_no_addresses(name: str) -> None:
    assert parse_endpoint(name) is None
