"""A process that changes a library for ever or once through, and says before and after each change what is meant.

What it says goes through a socket, so that a fault injected into file operations does not reach it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import retrieval.ingest
import retrieval.reembed
from retrieval import Library, TextDocument
from retrieval.errors import NotFound, RetrievalError
from retrieval.store import Store
from tests.doubles import HashEmbeddings

Operation = list[Any]
"""["put", [[name, text], ...]], ["remove", collection, name], ["move", collection, name, other collection] or
["reembed", fingerprint]."""
Word = tuple[str, Operation, str]
"""("begin" | "done" | "failed", operation, code of the failure)."""
Say = Callable[[str, Operation, str], None]

MODELS = {"hash-64": 64, "hash-32": 32}
COLLECTIONS = ("default", "second")


def model(fingerprint: str) -> HashEmbeddings:
    return HashEmbeddings(fingerprint, dimension=MODELS[fingerprint])


def opened(path: Path) -> Library:
    """The library with the model that made its vectors."""
    store = Store(path)
    stored = store.embedder()
    store.close()
    return Library.open(path, model(stored.fingerprint if stored else "hash-64"))


class _AtOnce:
    """Runs what it is given at once, so that all file operations are of one thread and can be counted."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> _AtOnce:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*given))
        except BaseException as error:
            future.set_exception(error)
        return future


def do(path: Path, library: Library, operation: Operation) -> Library:
    """Carry out one operation; the library to go on with."""
    kind = operation[0]
    if kind == "put":
        library.add_texts([TextDocument(name, text) for name, text in operation[1]])
    elif kind == "remove":
        library.remove([operation[2]], operation[1])
    elif kind == "move":
        library.move(library.find(operation[2], operation[1])[0].document_id, operation[3])
    else:
        library.close()
        library = Library.open(path, model(operation[1]))
        library.reembed()
    return library


def some_text(chance: random.Random, name: str) -> str:
    return f"{name} " + " ".join(f"word{chance.randrange(10**6)}" for _ in range(chance.randrange(1, 700)))


def at_random(chance: random.Random, library: Library) -> Operation:
    """Any operation that can be carried out now."""
    held = [[record.collection, record.document] for record in library.documents()]
    roll = chance.random()
    if roll < 0.55 or not held:
        names = chance.sample([f"d{number}" for number in range(20)], chance.choice((1, 1, 2, 4)))
        return ["put", [[name, some_text(chance, name)] for name in names]]
    if roll < 0.75:
        return ["remove", *chance.choice(held)]
    if roll < 0.9:
        return ["move", *chance.choice(held), chance.choice(COLLECTIONS)]
    stored = library.rows("SELECT value FROM meta WHERE key = 'fingerprint'")
    return ["reembed", "hash-32" if stored == [("hash-64",)] else "hash-64"]


def churn(path: Path, seed: int, say: Say) -> None:
    """Random operations for ever."""
    chance = random.Random(seed)
    library = opened(path)
    while True:
        operation = at_random(chance, library)
        say("begin", operation, "")
        library = do(path, library, operation)
        say("done", operation, "")


def once_through(operations: list[Operation]) -> Callable[[Path, int, Say], None]:
    """The same operations every time; one that fails is tried again, as the fault was one.

    What is told as failed may have been done, never the other way round.
    """

    def run(path: Path, _: int, say: Say) -> None:
        retrieval.ingest.ThreadPoolExecutor = _AtOnce  # type: ignore[assignment, misc]
        library = opened(path)
        for operation in operations:
            say("begin", operation, "")
            for last in (False, True):
                try:
                    library = do(path, library, operation)
                    break
                except NotFound:
                    if not last:
                        raise
                    break  # the failure came after the change: the sync of a journal that was already empty
                except RetrievalError as error:
                    if last:
                        raise
                    say("failed", operation, error.code)
                    library.close()
                    library = opened(path)
            say("done", operation, "")

    return run


def started(work: Callable[[Path, int, Say], None], path: Path, seed: int) -> tuple[int, socket.socket, socket.socket]:
    """(process, the line on which it speaks, the line on which it is told to begin) of a forked worker."""
    ours, theirs = socket.socketpair()
    begin, told = socket.socketpair()
    worker = os.fork()
    if worker == 0:
        status = 1
        try:
            ours.close()
            begin.close()
            told.recv(1)
            retrieval.ingest.EMBED_BATCH = retrieval.reembed.EMBED_BATCH = 8
            work(path, seed, lambda *word: theirs.sendall(json.dumps(word).encode() + b"\n"))
            status = 0
        except BaseException as error:
            theirs.sendall(json.dumps(["died", [], f"{type(error).__name__}: {error}"]).encode() + b"\n")
        finally:
            os._exit(status)
    theirs.close()
    told.close()
    return worker, ours, begin


def listened(line: socket.socket) -> Iterator[Word]:
    """What a worker says until it ends; a word cut off by its death was not said."""
    with line, line.makefile("rb") as words:
        for word in words:
            if word.endswith(b"\n"):
                yield tuple(json.loads(word))


def killed_after(seconds: float, path: Path, seed: int) -> list[Word]:
    """What a worker had said when it was killed."""
    worker, line, begin = started(churn, path, seed)
    said: list[Word] = []
    listener = threading.Thread(target=lambda: said.extend(listened(line)))
    listener.start()
    with begin:
        begin.send(b"!")
        time.sleep(seconds)
    os.kill(worker, signal.SIGKILL)
    _, status = os.waitpid(worker, 0)
    listener.join()
    assert os.WIFSIGNALED(status), f"the worker ended by itself: {said[-1:]}"
    return said


def seconds_of_puts(path: Path, seed: int, count: int = 5) -> float:
    """How long a worker takes from its start until it has put texts so many times, a put at the mean."""
    worker, line, begin = started(churn, path, seed)
    with begin:
        begin.send(b"!")
        began, puts = time.monotonic(), 0
        for word, operation, _ in listened(line):
            puts += word == "done" and operation[0] == "put"
            if puts == count:
                break
        took = time.monotonic() - began
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    assert puts == count, f"the worker ended after {puts} puts"
    return took / count
