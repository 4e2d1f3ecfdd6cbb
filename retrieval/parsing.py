"""Parsing in limited child processes: a file that loops, swells or crashes its parser costs one child and one sentence.

Children live for many files, since starting one costs more than parsing most documents, and are then replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from retrieval.errors import ParserUnavailable, document_error
from retrieval.formats import Extracted

WALL_SECONDS = 30.0
FILES_PER_CHILD = 200
MAX_ANSWER_BYTES = 513 << 20
_CHILD = Path(__file__).with_name("parser_child.py")
_PART = 1 << 20
_FACT_CHARACTERS = 1000


class ParserPool:
    """Parses files in child processes, at most `size` at a time; several threads may call `parse` at once."""

    def __init__(self, size: int = 2, wall_seconds: float = WALL_SECONDS, script: Path | None = None) -> None:
        self._wall_seconds = wall_seconds
        self._script = script
        self._free = threading.Semaphore(size)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all children, busy ones too."""
        with self._lock:
            children, self._all, self._idle = self._all, set(), []
            self._closed = True
        for child in children:
            child.end()

    def parse(self, descriptor: int, name: str, **part: int) -> Extracted:
        """The text of an open file, or of one `page` (from 1) or `attachment` (from 0) of it.

        `name` is only looked at for its extension and used in sentences.

        Raises:
            DocumentError: why this document cannot be used.
            ParserUnavailable: no child could be started.
        """
        with self._free:
            child = self._take()
            try:
                answer = child.ask(descriptor, name, self._wall_seconds, part)
            except BaseException:
                self._drop(child)
                raise
            self._give_back(child)
        if "extracted" not in answer:
            raise document_error(answer["code"], name, answer["found"])
        try:
            return _checked(answer["extracted"])
        except (KeyError, TypeError, ValueError) as error:
            raise document_error("corrupt", name, "made its parser answer nonsense.") from error

    def _take(self) -> _Child:
        with self._lock:
            if self._closed:
                raise RuntimeError("the parsers were closed")
            try:
                child = self._idle.pop() if self._idle else _Child(self._script or _CHILD)
            except OSError as error:
                raise ParserUnavailable(error.strerror or str(error)) from error
            self._all.add(child)
            return child

    def _give_back(self, child: _Child) -> None:
        with self._lock:
            if child.files < FILES_PER_CHILD and child in self._all:
                self._idle.append(child)
                return
        self._drop(child)

    def _drop(self, child: _Child) -> None:
        child.end()
        with self._lock:
            self._all.discard(child)


def _checked(facts: dict[str, Any]) -> Extracted:
    """What a child says it extracted, by type: a hostile document may have taken the child over."""
    text = str(facts["text"])
    text.encode()
    return Extracted(
        text,
        [int(start) for start in facts["page_starts"]],
        [(int(offset), int(level), str(title)) for offset, level, title in facts["headings"]],
        [(str(code), str(found)) for code, found in facts["warnings"]],
        [int(start) for start in facts["part_starts"]],
        [(int(offset), int(number)) for offset, number in facts["numbered"]],
        str(facts["numbered_as"]),
        {str(name)[:_FACT_CHARACTERS]: str(value)[:_FACT_CHARACTERS] for name, value in facts["facts"].items()},
        [int(page) for page in facts["scanned"]],
        [str(name)[:_FACT_CHARACTERS] for name in facts["attachments"]],
    )


class _Child:
    """One parser process and our end of the line to it."""

    def __init__(self, script: Path) -> None:
        self._line, theirs = socket.socketpair()
        self.files = 0
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(self._line.close)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-X", "utf8", str(script), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            undo.pop_all()

    def ask(self, descriptor: int, name: str, wall_seconds: float, part: Mapping[str, int]) -> dict[str, Any]:
        """Send one file, wait for its answer.

        Raises:
            DocumentError: the child did not answer in time, or died.
        """
        self.files += 1
        deadline = time.monotonic() + wall_seconds
        try:
            request = json.dumps({"name": Path(name).name[-200:], **part}).encode()
            socket.send_fds(self._line, [request], [descriptor])
            length = int.from_bytes(self._receive(8, deadline), "big")
            if length > MAX_ANSWER_BYTES:
                raise document_error("too_large", name, "holds more text than a document may have.")
            answer: dict[str, Any] = json.loads(self._receive(length, deadline))
            return answer
        except TimeoutError as error:
            found = f"took longer than {wall_seconds:.0f} s to read and was given up."
            raise document_error("timeout", name, found) from error
        except (ConnectionError, ValueError) as error:
            raise self._cause_of_death(name) from error

    def _receive(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._line.settimeout(max(0.001, deadline - time.monotonic()))
            part = self._line.recv(min(_PART, length - len(data)))
            if not part:
                raise ConnectionResetError
            data += part
        return bytes(data)

    def _cause_of_death(self, name: str) -> Exception:
        try:
            status = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            status = 0
        if status == -signal.SIGXCPU:
            return document_error("timeout", name, "took more processor time to read than a document may have.")
        if status in (-signal.SIGSEGV, -signal.SIGBUS, 0, 1):
            return document_error("corrupt", name, "is damaged in a way that stopped the parser.")
        return document_error("too_complex", name, "needs more memory to read than a document may have.")

    def end(self) -> None:
        """Kill the whole process group and wait for it."""
        self._line.close()
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
