"""A chat server in a process of its own, and a browser's way in: for the protocol and the browser tests."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

_ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"http://[\w.:\[\]-]+/(?:\?token=\S+)?")


class ServerProcess:
    """Runs a command that prints the page's link; its output is kept in a file."""

    def __init__(self, command: Sequence[str], log: Path, wait_seconds: float = 60) -> None:
        self.log = log
        self._file = log.open("w")
        self.process = subprocess.Popen(command, stdout=self._file, stderr=subprocess.STDOUT, cwd=_ROOT)
        try:
            self.link = self.links(at_least=1, wait_seconds=wait_seconds)[0]
        except BaseException:
            self.stop()
            raise
        self.url = self.link.partition("?")[0].rstrip("/")

    def output(self) -> str:
        return self.log.read_text()

    def links(self, at_least: int = 1, wait_seconds: float = 10) -> list[str]:
        """Every link printed so far, once there are that many."""
        deadline = time.monotonic() + wait_seconds
        while time.monotonic() < deadline:
            if len(found := _LINK.findall(self.output())) >= at_least:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the server printed no link in {wait_seconds} s:\n{self.output()}")

    def enter(self) -> str:
        """Use up the newest link; returns the Cookie header of the session."""
        return exchange(self.links()[-1])

    def sign_in(self, name: str, password: str) -> str:
        """What a person does on the sign-in page; returns the Cookie header of the session."""
        form = urlencode({"username": name, "password": password}).encode()
        with build_opener().open(Request(f"{self.url}/login", form, {"Origin": self.url})) as answer:
            return str(answer.headers["Set-Cookie"]).partition(";")[0]

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def exchange(link: str) -> str:
    """Follow a launch link as a browser would; the Cookie header it gives."""
    with pytest.raises(HTTPError) as redirect:
        build_opener(_NoRedirect).open(Request(link))
    assert redirect.value.code == 303, redirect.value.read()
    return str(redirect.value.headers["Set-Cookie"]).partition(";")[0]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scripted_server(folder: Path, upload_limit_bytes: int = 100 * 2**20, *, port: int | None = None) -> ServerProcess:
    """The real page over the scripted assistant, at a free port unless one is given."""
    script = Path(__file__).with_name("serve_scripted.py")
    command = [sys.executable, str(script), str(folder / "home"), str(port or free_port()), str(upload_limit_bytes)]
    return ServerProcess(command, folder / "server.log")
