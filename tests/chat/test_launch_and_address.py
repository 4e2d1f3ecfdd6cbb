"""The launch link's life, and where the server may listen (S01, S11)."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from chat.address import open_socket, own_netlocs
from chat.errors import NotLoopback, PortInUse, PortRefused
from chat.launch import LaunchPass
from chat.people import People
from chat.sign_in import SignIn
from chat.store import Store


def _pass(home: Path) -> tuple[LaunchPass, list[str]]:
    links: list[str] = []
    launch = LaunchPass("http://127.0.0.1:8000", links.append, SignIn(Store(home)))
    launch.new_link()
    return launch, links


def _token(link: str) -> str:
    return link.partition("token=")[2]


def test_tokens_are_long_and_never_the_same(tmp_path: Path) -> None:
    launch, _ = _pass(tmp_path)
    tokens = {_token(launch.new_link()) for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in base64


def test_a_new_link_ends_the_one_before(tmp_path: Path) -> None:
    launch, links = _pass(tmp_path)
    launch.new_link()
    assert launch.exchange(_token(links[0])) is None
    assert launch.exchange(_token(links[1])) is not None


@pytest.mark.parametrize("token", ["", "x", "ä" * 40, "\x00"])
def test_wrong_tokens_are_refused(token: str, tmp_path: Path) -> None:
    launch, links = _pass(tmp_path)
    assert launch.exchange(token) is None
    assert launch.exchange(_token(links[0])) is not None


def test_a_browser_stays_in_over_a_restart_and_is_worth_nothing_in_another_home(tmp_path: Path) -> None:
    first, links = _pass(tmp_path / "one")
    cookie = f"{first.cookie_name}={first.exchange(_token(links[0]))}"
    assert first.person(cookie) == _pass(tmp_path / "one")[0].person(f"other=1; {cookie}")
    assert _pass(tmp_path / "two")[0].person(cookie) is None
    assert first.person("") is None


def test_no_link_opens_a_home_with_users(tmp_path: Path) -> None:
    launch, links = _pass(tmp_path)
    session = launch.exchange(_token(links[0]))
    People(Store(tmp_path)).add("ann", "correct horse")
    shared, shown = _pass(tmp_path)
    assert shown == ["http://127.0.0.1:8000/"]
    assert shared.exchange(shared._token) is None
    assert shared.person(f"{shared.cookie_name}={session}") is None


def test_two_ports_have_two_cookies(tmp_path: Path) -> None:
    sign_in = SignIn(Store(tmp_path))
    one, other = (LaunchPass(f"http://127.0.0.1:800{port}", print, sign_in) for port in range(2))
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
