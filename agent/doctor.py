"""`hearth doctor`: what this machine has, what is missing and the command that mends it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agent.assembly import House
from agent.checks import Check

_PACKAGES = (
    "torch", "transformers", "langchain", "langchain-huggingface", "sentence-transformers", "faiss-cpu", "tantivy",
    "datasets", "chainlit",
)  # fmt: skip
_FREE_BYTES_WANTED = 2 * 2**30


def examine(house: House, *, offline: bool = False, calibrate: bool = False) -> Iterator[Check]:
    """Every check, in the order a person would mend them.

    Args:
        house: the home and settings to look at.
        offline: also ingest a document and answer a question while connections are refused.
        calibrate: measure the models' speed anew, which takes about ten seconds.
    """
    from agent.doctor_elsewhere import examine_elsewhere
    from agent.doctor_models import examine_models

    yield Check("python", True, sys.version.split()[0])
    yield from map(_package, _PACKAGES)
    yield _home(house.home)
    yield _device()
    yield from examine_models(house, calibrate=calibrate)
    yield from examine_elsewhere(house)
    yield _library(house)
    yield _port(house.settings.host, house.settings.port)
    if offline:
        yield _offline_answer(house)


def _package(name: str) -> Check:
    try:
        return Check(name, True, version(name))
    except PackageNotFoundError:
        return Check(name, False, "not installed", "pip install -c constraints.txt -e .")


def _home(home: Path) -> Check:
    existing = next(path for path in (home, *home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Check("data home", False, f"{home} cannot be written", "choose another with --home or HEARTH_HOME")
    found = f"{home}, {free / 2**30:.1f} GiB free"
    return Check(
        "data home", free > _FREE_BYTES_WANTED, found, None if free > _FREE_BYTES_WANTED else "free some space"
    )


def _device() -> Check:
    from models.device import choose_device

    choice = choose_device()
    return Check("device", True, f"{choice.device} in {choice.dtype}: {choice.reason}; {os.cpu_count()} processors")


def _library(house: House) -> Check:
    from retrieval.errors import RetrievalError

    try:
        records = house.library().documents()
    except RetrievalError as error:
        return Check("library", False, str(error), None)
    return Check("library", True, f"{len(records)} documents, {sum(record.chunks for record in records)} passages")


def _port(host: str, port: int) -> Check:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return Check("port", False, f"{host}:{port} {error.strerror}", f"hearth chat --port {port + 1}")
    return Check("port", True, f"{host}:{port} is free")


def _offline_answer(house: House) -> Check:
    """A whole question and answer in a library of its own, every connection refused meanwhile."""
    with tempfile.TemporaryDirectory(prefix="hearth-doctor-") as folder:
        page = Path(folder, "lighthouse.txt")
        page.write_text(
            "The lighthouse of Varn was built in 1847 by Ida Holm. It is 41 metres tall and still in use.\n",
            encoding="utf-8",
        )
        from agent.assistant import Assistant

        library = house.library_at(Path(folder, "library"))
        settings = replace(house.settings, collection="doctor", max_new_tokens=32)
        try:
            with connections_refused():
                library.add([page], collection="doctor")
                answer = Assistant(house.chat_model(), library, settings).ask("Who built the lighthouse of Varn?")
        finally:
            library.close()
    cited = any("Ida Holm" in source.quote for source in answer.sources)
    return Check("offline answer", cited, answer.text, None if cited else "report this with `hearth doctor --json`")


@contextmanager
def connections_refused() -> Iterator[None]:
    """Refuse every new connection of this process, loopback too, while the block runs."""
    original = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise PermissionError(f"a connection to {address!r} was tried while the network is cut")
        original(self, address)

    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        socket.socket.connect = original  # type: ignore[method-assign]
