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
        # by header, as the package sends a key to huggingface.co only and endpoints of one's own have other hosts
        headers = {"headers": {"Authorization": f"Bearer {options.api_key}"}} if options.api_key else {}
        values: dict[str, Any] = where | {"timeout": int(options.timeout_seconds), "server_kwargs": headers}
        model = cls(
            llm=HuggingFaceEndpoint(**values), max_tokens=max_new_tokens, temperature=temperature, stream_usage=True
        )
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
        self._client = HuggingFaceEndpointEmbeddings(
            model=self.endpoint.model, huggingfacehub_api_token=options.api_key
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


def _reachable(entry: Entry) -> Endpoint:
    assert entry.endpoint is not None, f"{entry.name} is not remote"
    endpoint = entry.endpoint
    if endpoint.model:
        allow_endpoint(f"https://{endpoint.host}/")
        allow_endpoint(f"https://huggingface.co/api/models/{endpoint.model}")
    else:
        allow_endpoint(f"{endpoint.address}/")
    return endpoint
