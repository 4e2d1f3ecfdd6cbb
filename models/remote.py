"""What models on other machines have in common: their options, counted tokens, cancellation, errors in a sentence.

Nothing here or in the classes built on it asks a hub or downloads a tokenizer.
"""

from __future__ import annotations

import importlib.util
import math
import queue
import re
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from models.errors import BadOption, MissingExtra, ModelError
from models.text import StopTrimmer

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from models.catalog import Entry
    from models.endpoint import Endpoint
    from models.remote_chat import RemoteChat

_LOOK_SECONDS = 0.05  # how often a waiting reader looks at its cancel event
_ASCII_CHARACTERS_PER_TOKEN = 3.5  # on the safe side: English text has 4 to 4.5
_TOKENS_PER_MESSAGE = 8
_END = object()
# What a local model takes and a remote one has no use for.
_LOCAL_OPTIONS = ("prompt_lookup", "user", "cancel")
# What servers and their client libraries answer to a form that they did not expect.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)

Chunks = Callable[[], Iterator[ChatGenerationChunk]]


class RemoteFailed(ModelError):
    """A model on another machine did not answer."""

    code = "remote_failed"

    def __init__(self, host: str, reason: str) -> None:
        self.host = host
        self.reason = reason
        super().__init__(f"The remote model at {host} did not answer: {reason}.")


@dataclass(frozen=True)
class RemoteOptions:
    """How to reach a remote model.

    Attributes:
        api_key: Sent to that host alone; None sends none.
        context_tokens: What the model reads at once, prompt and answer together.
        timeout_seconds: Longest wait for the next words.
    """

    api_key: str | None = field(default=None, repr=False)
    context_tokens: int = 8192
    timeout_seconds: float = 60.0


def open_remote_chat(
    entry: Entry, options: RemoteOptions | None, *, max_new_tokens: int = 512, temperature: float = 0.0
) -> RemoteChat:
    """The chat model of a remote entry; nothing is connected until it is asked.

    Raises:
        MissingExtra: the package that speaks to such servers is not installed.
    """
    chosen = options or RemoteOptions()
    if _provider(entry) == "openai":
        require_openai()
        from models.remote_openai import OpenAIChatModel

        return OpenAIChatModel.open(entry, chosen, max_new_tokens=max_new_tokens, temperature=temperature)
    from models.remote_huggingface import HuggingFaceChatModel

    return HuggingFaceChatModel.open(entry, chosen, max_new_tokens=max_new_tokens, temperature=temperature)


def open_remote_embeddings(entry: Entry, options: RemoteOptions | None) -> Embeddings:
    """The embedding model of a remote entry; as `open_remote_chat`."""
    chosen = options or RemoteOptions()
    if _provider(entry) == "openai":
        require_openai()
        from models.remote_openai import OpenAIRemoteEmbeddings

        return OpenAIRemoteEmbeddings(entry, chosen)
    from models.remote_huggingface import HuggingFaceRemoteEmbeddings

    return HuggingFaceRemoteEmbeddings(entry, chosen)


def require_openai() -> None:
    """Raises MissingExtra where langchain-openai is not installed."""
    if importlib.util.find_spec("langchain_openai") is None:
        raise MissingExtra("A model on another machine", "remote")


def _provider(entry: Entry) -> str:
    assert entry.endpoint is not None, f"{entry.name} is not remote"
    return entry.endpoint.provider


def about_tokens(text: str) -> int:
    """About how many tokens a text has for a model whose tokenizer is elsewhere; rather too many than too few."""
    ascii_characters = sum(character.isascii() for character in text)
    return math.ceil(ascii_characters / _ASCII_CHARACTERS_PER_TOKEN) + len(text) - ascii_characters


def about_tokens_of(messages: Sequence[BaseMessage]) -> int:
    """About how many tokens a conversation has."""
    return sum(about_tokens(str(message.text)) + _TOKENS_PER_MESSAGE for message in messages)


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], threading.Event]:
    """A call's options as a remote model takes them, and the event that cancels the call."""
    cancel = options.get("cancel") or threading.Event()
    taken = {name: value for name, value in options.items() if name not in _LOCAL_OPTIONS}
    if "max_new_tokens" in taken:
        taken["max_tokens"] = taken.pop("max_new_tokens")
    return taken, cancel


def answered(
    chunks: Chunks,
    *,
    stops: Sequence[str],
    cancel: threading.Event,
    translate: Callable[[Exception], ModelError | None],
) -> Generator[ChatGenerationChunk, None, None]:
    """A remote answer as Hearth gives every answer: stop strings trimmed exactly, and ended at once by `cancel`.

    Args:
        chunks: Begins the request and gives its chunks; runs in a thread of its own.
        stops: The stop strings, as servers differ in whether they show them.
        cancel: Ends the answer; the connection is closed when the server's next words come.
        translate: The error to raise for one of the client library's, None to raise it as it is.
    """
    trimmer = StopTrimmer(tuple(stops))
    try:
        for chunk in _watched(chunks, cancel):
            text = chunk.message.content if isinstance(chunk.message.content, str) else ""
            if trimmer.stopped and text:
                return  # the server goes on after the stop string, and nobody wants that
            if text:
                chunk = ChatGenerationChunk(
                    message=chunk.message.model_copy(update={"content": trimmer.feed(text)}),
                    generation_info=chunk.generation_info,
                )
            yield chunk
        if rest := trimmer.flush():
            yield ChatGenerationChunk(message=AIMessageChunk(content=rest))
    except Exception as error:
        if (meant := translate(error)) is None:
            raise
        raise meant from error
    if cancel.is_set():
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"finish_reason": "cancelled"}))


def explain(
    error: Exception, endpoint: Endpoint, options: RemoteOptions, families: tuple[type[BaseException], ...]
) -> ModelError | None:
    """One sentence for an error of a client library; None where it is none of its.

    Args:
        error: What was raised.
        endpoint: Whose model it is.
        options: Its options; the key never appears in the sentence.
        families: The library's own errors.
    """
    unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error)) if isinstance(error, TypeError) else None
    if unknown:
        return BadOption(unknown[1], "given", "an option that the remote model's interface has")
    if isinstance(error, families):
        return RemoteFailed(endpoint.host, _reason(error, options))
    if isinstance(error, UNREADABLE):
        return RemoteFailed(endpoint.host, f"what it sent cannot be read ({_short(error, options)})")
    return None


def _reason(error: BaseException, options: RemoteOptions) -> str:
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "it refused the API key, which the setting chat_key_variable or embed_key_variable names a variable for"
    if status == 404:
        return f"it has no such model or address ({_short(error, options)})"
    if status is not None:
        return f"it reported status {status} ({_short(error, options)})"
    if "Timeout" in type(error).__name__:
        return f"nothing came for {options.timeout_seconds:g} seconds"
    return f"the connection failed ({_short(error.__cause__ or error, options)})"


def _short(error: BaseException, options: RemoteOptions) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if options.api_key:
        text = text.replace(options.api_key, "(key)")
    return text[:200]


def _watched(chunks: Chunks, cancel: threading.Event) -> Iterator[ChatGenerationChunk]:
    """Reads in a thread, so that a cancel need not wait for the server."""
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    left = threading.Event()

    def work() -> None:
        try:
            for chunk in chunks():
                if left.is_set():
                    break
                items.put(chunk)
        except BaseException as error:  # belongs to the reader, as itself
            items.put(error)
        finally:
            items.put(_END)

    threading.Thread(target=work, name="hearth-remote", daemon=True).start()
    try:
        while not cancel.is_set():
            try:
                item = items.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
