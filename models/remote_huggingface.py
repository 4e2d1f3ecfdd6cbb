"""Models that Hugging Face serves, or an endpoint of one's own there, through langchain-huggingface.

Hearth keeps the hub's libraries offline; the addresses of the endpoint that a person named are let through, no others.
"""

from __future__ import annotations

from typing import Any, ClassVar

import httpx
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError
from langchain_core.embeddings import Embeddings
from langchain_huggingface import ChatHuggingFace, HuggingFaceEndpoint, HuggingFaceEndpointEmbeddings

from models.catalog import Entry
from models.endpoint import BadEndpoint, Endpoint
from models.environment import allow_endpoint
from models.remote import RemoteOptions, explain
from models.remote_chat import RemoteChat

_NO_KEY = "none"
_FAMILIES = (httpx.HTTPError, HfHubHTTPError, InferenceTimeoutError, OSError)


class HuggingFaceChatModel(RemoteChat, ChatHuggingFace):
    """A chat model that Hugging Face serves."""

    families: ClassVar[tuple[type[BaseException], ...]] = _FAMILIES

    @classmethod
    def open(
        cls, entry: Entry, options: RemoteOptions, *, max_new_tokens: int, temperature: float
    ) -> HuggingFaceChatModel:
        """The model of a catalog entry; nothing is connected yet."""
        endpoint = _reachable(entry)
        where = {"repo_id": endpoint.address} if endpoint.model else {"endpoint_url": endpoint.address}
        values: dict[str, Any] = where | {"timeout": int(options.timeout_seconds)}
        model = cls(llm=HuggingFaceEndpoint(**values), max_tokens=max_new_tokens, stream_usage=True)
        model.temperature = temperature  # 0 given above would be taken for nothing, and another put in its place
        _take_key(model.llm.client, endpoint, options)
        model.settle(entry, options, max_new_tokens)
        return model


class HuggingFaceRemoteEmbeddings(Embeddings):
    """Embeddings of a hub model that Hugging Face serves."""

    def __init__(self, entry: Entry, options: RemoteOptions) -> None:
        self.model = entry.label
        self.endpoint = _reachable(entry)
        self._options = options
        if not self.endpoint.model:
            raise BadEndpoint("embeddings of an endpoint's own URL are asked for as https://host/v1#model")
        self._client = HuggingFaceEndpointEmbeddings(model=self.endpoint.model)
        _take_key(self._client.client, self.endpoint, options)

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


def _reachable(entry: Entry) -> Endpoint:
    assert entry.endpoint is not None, f"{entry.name} is not remote"
    endpoint = entry.endpoint
    if endpoint.model:
        allow_endpoint(f"https://{endpoint.host}/")
        allow_endpoint(f"https://huggingface.co/api/models/{endpoint.model}")
    else:
        allow_endpoint(f"{endpoint.address}/")
    return endpoint


def _take_key(client: Any, endpoint: Endpoint, options: RemoteOptions) -> None:
    """Gives a key to the hub's own client, which does not show it; the saved hub token goes to the hub alone."""
    if options.api_key or not endpoint.model:
        client.token = options.api_key or _NO_KEY
