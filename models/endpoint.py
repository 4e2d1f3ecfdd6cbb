"""The address of a model on another machine: read, and refused where it would send a person's words in the clear.

Nothing is connected here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from models.errors import ModelError

Provider = Literal["openai", "hf-endpoint"]

_HF = "hf-endpoint:"
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")
_HUB_HOST = "router.huggingface.co"
_LOCAL_ENDINGS = (".local", ".lan", ".internal", ".home.arpa")


class BadEndpoint(ModelError):
    """The address of a remote model that is not whole, or over which no document should travel."""

    code = "bad_endpoint"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The address of the remote model cannot be used: {reason}; "
            "write for example http://127.0.0.1:8001/v1#model-name or hf-endpoint:org/model."
        )


@dataclass(frozen=True)
class Endpoint:
    """Where a remote model is served.

    Attributes:
        provider: "openai" for any server with OpenAI's interface, "hf-endpoint" for Hugging Face's.
        address: The server's base URL, or the hub id of a model that Hugging Face serves.
        model: The model's name at the server; "" where the server has one only.
        host: The machine that reads what is sent.
    """

    provider: Provider
    address: str
    model: str
    host: str


def parse_endpoint(name: str) -> Endpoint | None:
    """The endpoint that a model's name means, or None where it is no address.

    Raises:
        BadEndpoint: an address without a host or model, with a password in it, or unencrypted to a public machine.
    """
    if name.lower().startswith(_HF):
        rest = name[len(_HF) :]
        if _HUB_ID.match(rest):
            return Endpoint("hf-endpoint", rest, rest, _HUB_HOST)
        return _from_url("hf-endpoint", rest, model_needed=False)
    if name.lower().startswith(("http://", "https://")):
        return _from_url("openai", name, model_needed=True)
    return None


def _from_url(provider: Provider, text: str, *, model_needed: bool) -> Endpoint:
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise BadEndpoint(str(error)) from error
    if url.scheme not in ("http", "https") or not host:
        raise BadEndpoint("it names no host")
    if url.username is not None or url.password is not None:
        raise BadEndpoint("it holds a user name or password, which belongs into an environment variable")
    if model_needed and not url.fragment:
        raise BadEndpoint("it does not say which model, after a #")
    if url.scheme == "http" and not _near(host):
        raise BadEndpoint(f"http to {host} would send questions and documents unencrypted over the internet, use https")
    return Endpoint(provider, url._replace(fragment="").geturl().rstrip("/"), url.fragment, host)


def _near(host: str) -> bool:
    """Whether a host is this machine or one of the same private network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_ENDINGS)
    return address.is_loopback or address.is_private or address.is_link_local
