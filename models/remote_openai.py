"""Models behind OpenAI's interface on another machine, through langchain-openai: a chat model and embeddings.

The package is the extra `remote`; models/remote.py says so where it is absent.
"""

from __future__ import annotations

from typing import Any, ClassVar

import openai
from langchain_core.embeddings import Embeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from models.catalog import Entry
from models.remote import RemoteOptions, explain
from models.remote_chat import RemoteChat

_FAMILIES = (openai.OpenAIError, OSError)
_TRIES_AGAIN = 1
# OpenAI's own servers want the new name of this option, most others know the old one only
_NEW, _OLD = "max_completion_tokens", "max_tokens"
_OWN_HOST = "api.openai.com"
_NO_KEY = "none"  # servers of one's own need no key but the package does; the person's own is never taken


class OpenAIChatModel(RemoteChat, ChatOpenAI):
    """A chat model of any server with OpenAI's interface."""

    families: ClassVar[tuple[type[BaseException], ...]] = _FAMILIES

    @classmethod
    def open(cls, entry: Entry, options: RemoteOptions, *, max_new_tokens: int, temperature: float) -> OpenAIChatModel:
        """The model of a catalog entry; nothing is connected yet."""
        assert entry.endpoint is not None, f"{entry.name} is not remote"
        values: dict[str, Any] = {
            "base_url": entry.endpoint.address,
            "model": entry.endpoint.model,
            "api_key": SecretStr(options.api_key or _NO_KEY),
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "timeout": options.timeout_seconds,
            "max_retries": _TRIES_AGAIN,
            "stream_usage": True,
            "use_responses_api": False,
        }
        model = cls(**values)
        model.settle(entry, options, max_new_tokens)
        return model

    def _get_request_payload(self, input_: Any, *, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if _NEW in payload and self.endpoint.host != _OWN_HOST:
            payload[_OLD] = payload.pop(_NEW)
        return payload


class OpenAIRemoteEmbeddings(Embeddings):
    """Embeddings of any server with OpenAI's interface (vLLM, TEI, Infinity ...); texts are sent as text."""

    def __init__(self, entry: Entry, options: RemoteOptions) -> None:
        assert entry.endpoint is not None, f"{entry.name} is not remote"
        self.model = entry.label
        self.endpoint = entry.endpoint
        self._options = options
        self._client = OpenAIEmbeddings(
            base_url=entry.endpoint.address,
            model=entry.endpoint.model,
            api_key=SecretStr(options.api_key or _NO_KEY),
            timeout=options.timeout_seconds,
            max_retries=_TRIES_AGAIN,
            check_embedding_ctx_length=False,  # otherwise token ids of OpenAI's own tokenizer would be sent
        )

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector a text, in order."""
        if not texts:
            return []
        try:
            return self._client.embed_documents(texts)
        except Exception as error:
            if (meant := explain(error, self.endpoint, self._options, _FAMILIES)) is None:
                raise
            raise meant from error

    def embed_query(self, text: str) -> list[float]:
        """The vector of a search query."""
        return self.embed_documents([text])[0]
