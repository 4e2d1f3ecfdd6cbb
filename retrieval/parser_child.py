"""The child process that parses documents: it limits itself, then answers one request after another.

Started as a script by `parsing` with an empty environment. A request is a line of JSON with an open file beside it; the
answer is eight bytes of length and JSON. Nothing here opens a path, and nothing is ever unpickled.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1 << 30
OPEN_FILES = 64
CPU_SECONDS = 20
ANSWER_BYTES = 512 << 20
_REQUEST_BYTES = 65536
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


Extract = Callable[[bytes, dict[str, Any]], Any]
"""(a file's bytes, the request about it) -> Extracted"""


def main(descriptor: int) -> None:
    """Serve as the parser of all formats."""
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    serve(descriptor, _extract, MEMORY_BYTES, CPU_SECONDS)


def serve(descriptor: int, extract: Extract, memory_bytes: int, cpu_seconds: int) -> None:
    """Answer requests on a socket, within limits, until the parent closes it."""
    _limit_self(memory_bytes)
    with socket.socket(fileno=descriptor) as line:
        while True:
            request, files, _, _ = socket.recv_fds(line, _REQUEST_BYTES, 1)
            if not request:
                return
            with os.fdopen(files[0], "rb") as file:
                _limit_processor(cpu_seconds)
                answer = _answer(extract, json.loads(request), file)
            line.sendall(len(answer).to_bytes(8, "big") + answer)


def _limit_self(memory_bytes: int) -> None:
    """Memory, files and network: what a hostile document could reach if it took over the parser."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    library = ctypes.CDLL(None)
    unshare = getattr(library, "unshare", None)
    if unshare is not None and unshare(_CLONE_NEWNET) != 0:
        unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # refused in some containers: then the other limits have to do


def _limit_processor(cpu_seconds: int) -> None:
    """Allow this document its own processor time, however many came before."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(used.ru_utime + used.ru_stime) + cpu_seconds + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, hard))


def _answer(extract: Extract, request: dict[str, Any], file: Any) -> bytes:
    from retrieval.formats import Refused

    answer: dict[str, Any]
    try:
        answer = {"extracted": asdict(extract(file.read(), request))}
    except Refused as error:
        answer = {"code": error.code, "found": error.found}
    except (MemoryError, RecursionError):
        answer = {"code": "too_complex", "found": "needs more memory to read than a document may have."}
    data = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
    if len(data) > ANSWER_BYTES:
        refusal = {"code": "too_large", "found": "holds more text than a document may have."}
        data = json.dumps(refusal).encode()
    return data


def _extract(data: bytes, request: dict[str, Any]) -> Any:
    """Parse bytes, or the attachment in them that is asked for, as the kind that they are and that their name says.

    Raises:
        Refused: the two disagree, the kind has no parser, or there is no text.
    """
    from retrieval.formats.identify import parse, parse_attachment

    if "attachment" in request:
        return parse_attachment(data, request["name"], request["attachment"])
    return parse(data, request["name"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
