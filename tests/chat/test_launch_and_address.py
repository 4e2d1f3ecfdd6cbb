"""The launch link's life, and where the server may listen (S01, S11)."""

from __future__ import annotations

import os
import socket

import pytest

from chat.address import open_socket, own_netlocs
from chat.errors import NotLoopback, PortInUse, PortRefused
from chat.launch import LaunchPass


def _pass() -> tuple[LaunchPass, list[str]]:
    links: list[str] = []
    launch = LaunchPass("http://127.0.0.1:8000", links.append)
    launch.new_link()
    return launch, links


def _token(link: str) -> str:
    return link.partition("token=")[2]


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {_token(_pass()[1][0]) for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in base64


def test_a_new_link_ends_the_one_before() -> None:
    launch, links = _pass()
    launch.new_link()
    assert launch.exchange(_token(links[0])) is None
    assert launch.exchange(_token(links[1])) is not None


@pytest.mark.parametrize("token", ["", "x", "ä" * 40, "\x00"])
def test_wrong_tokens_are_refused(token: str) -> None:
    launch, links = _pass()
    assert launch.exchange(token) is None
    assert launch.exchange(_token(links[0])) is not None


def test_sessions_of_another_process_are_worth_nothing() -> None:
    first, links = _pass()
    second, _ = _pass()
    session = first.exchange(_token(links[0]))
    cookie = f"{first.cookie_name}={session}"
    assert first.admits(cookie)
    assert not second.admits(cookie)


def test_two_ports_have_two_cookies() -> None:
    one = LaunchPass("http://127.0.0.1:8000", lambda link: None)
    other = LaunchPass("http://127.0.0.1:8001", lambda link: None)
    assert one.cookie_name != other.cookie_name


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "8.8.8.8", "example.org", "", "127.0.0.1.evil.org"])
def test_s11_only_loopback(host: str) -> None:
    with pytest.raises(NotLoopback, match=r"this machine only"):
        open_socket(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_addresses_listen(host: str) -> None:
    with open_socket(host, 0) as listening:
        assert listening.getsockname()[1] > 0


def test_s01_a_taken_port_is_named_with_its_holder() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse) as refused:
            open_socket("127.0.0.1", port)
    assert str(port) in str(refused.value)
    assert f"process {os.getpid()}" in str(refused.value)
    assert refused.value.code == "port_in_use"


def test_s01_a_port_that_does_not_exist() -> None:
    with pytest.raises(PortRefused, match="70000"):
        open_socket("127.0.0.1", 70000)


def test_own_addresses() -> None:
    assert own_netlocs("127.0.0.1", 8000) == {"127.0.0.1:8000", "localhost:8000"}
    assert own_netlocs("::1", 8000) == {"[::1]:8000", "localhost:8000"}
    assert own_netlocs("127.0.0.2", 80) == {"127.0.0.2"}
