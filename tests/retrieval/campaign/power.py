"""What a disk may hold after the power went: writes that were not synced are there, lost or torn at 512 bytes.

The file operations of one run are recorded by strace; any moment of it can then be rebuilt in many ways. Names (new,
renamed, deleted files) are taken to reach the disk in their order, as on a journalling file system.
Source: Pillai and others, "All file systems are not created equal", OSDI 2014, whose method this follows in small.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.retrieval.campaign.faults import prepared, traced
from tests.retrieval.campaign.worker import Word

_CALLS = "openat,pwrite64,write,fsync,fdatasync,ftruncate,rename,renameat,renameat2,unlink,unlinkat,sendto"
_LINE = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+= (-?\d+)", re.DOTALL)
_PATH = re.compile(r"<([^<>]*)>")
_SECTOR = 512


@dataclass(frozen=True)
class Event:
    """One file operation, or something the worker said."""

    kind: str
    path: str
    data: bytes = b""
    offset: int = 0
    other: str = ""


@dataclass
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)


def recorded(root: Path) -> tuple[Path, list[Event]]:
    """(the library before, everything that one run did to it afterwards)."""
    source, path, log = prepared(root), root / "library", root / "log"
    shutil.copytree(source, path)
    said, status = traced(path, ["-y", "-xx", "-s", "2000000", "-e", f"trace={_CALLS}", "-o", str(log)])
    assert status == 0, said[-1:]
    return source, list(_events(log.read_text(), str(path)))


def _events(log: str, root: str) -> Iterator[Event]:
    offsets: dict[str, int] = {}
    for line in _joined(log.splitlines()):
        found = _LINE.match(line)
        if found is None or found[3].startswith("-"):
            continue
        call, given, result = found[1], found[2], int(found[3])
        if call == "sendto":
            yield Event("said", "", _bytes(given))
            continue
        named = _names(given)
        path = named[0] if named else _open_path(given)
        if not path.startswith(root):
            continue
        if call == "openat":
            offsets[path] = 0
            if "O_CREAT" in given:
                yield Event("create", path)
        elif call == "pwrite64":
            yield Event("write", path, _bytes(given)[:result], int(given.rsplit(",", 1)[1]))
        elif call == "write":
            yield Event("write", path, _bytes(given)[:result], offsets.get(path, 0))
            offsets[path] = offsets.get(path, 0) + result
        elif call == "ftruncate":
            yield Event("truncate", path, offset=int(given.rsplit(",", 1)[1]))
        elif call in ("fsync", "fdatasync"):
            yield Event("sync", path)
        elif call.startswith("rename"):
            yield Event("rename", path, other=named[1])
        else:
            yield Event("unlink", path)


def _joined(lines: list[str]) -> Iterator[str]:
    """Lines whole again that strace cut in two because another thread came between; they count when they end."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.split()[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
        elif "resumed>" in line and thread in begun:
            yield begun.pop(thread) + line.split("resumed>", 1)[1]
        else:
            yield line


def _names(given: str) -> list[str]:
    """The paths that a call names, each with the folder it is relative to, where that is an open one."""
    if given.startswith(("AT_FDCWD", '"')) or re.match(r"\d+<[^<>]*>, \"[^\"]*\", (?:0|AT_REMOVEDIR)$", given):
        found = re.findall(r'(?:\d+<([^<>]*)>, )?"((?:\\x[0-9a-f]{2})*)"', given)
        return [f"{_plain(folder)}/{_hex(name)}" if folder else _hex(name) for folder, name in found]
    return []


def _open_path(given: str) -> str:
    named = _PATH.search(given)
    return _plain(named[1]) if named else ""


def _plain(path: str) -> str:
    return path.encode().decode("unicode_escape")


def _hex(quoted: str) -> str:
    return bytes.fromhex(quoted.replace("\\x", "")).decode()


def _bytes(given: str) -> bytes:
    quoted = re.search(r'"((?:\\x[0-9a-f]{2})*)"', given)
    return bytes.fromhex(quoted[1].replace("\\x", "")) if quoted else b""


def words_until(events: list[Event], moment: int) -> list[Word]:
    """What the worker had said by then."""
    said = b"".join(event.data for event in events[:moment] if event.kind == "said")
    return [tuple(json.loads(line)) for line in said.splitlines()]


def rebuilt(source: Path, target: Path, root: str, events: list[Event], moment: int, chance: random.Random) -> None:
    """Make in `target` one of the states in which the disk can be if the power goes before event number `moment`."""
    files = {
        str(file.relative_to(source)): _File(bytearray(file.read_bytes()))
        for file in source.rglob("*")
        if file.is_file()
    }
    for event in events[:moment]:
        if event.kind == "said":
            continue
        name = event.path.removeprefix(root).lstrip("/")
        file = files.get(name)
        if event.kind == "create":
            files.setdefault(name, _File())
        elif event.kind in ("write", "truncate") and file is not None:
            file.pending.append(event)
        elif event.kind == "sync" and file is not None:
            for waiting in file.pending:
                _apply(file.synced, waiting)
            file.pending.clear()
        elif event.kind == "rename" and file is not None:
            files[event.other.removeprefix(root).lstrip("/")] = files.pop(name)
        elif event.kind == "unlink":
            files.pop(name, None)
    while target.exists():  # a thread of tantivy's that was late may lay a lock file there meanwhile
        shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, file in files.items():
        content = bytearray(file.synced)
        for waiting in file.pending:
            fate = chance.random()
            if fate < 0.4:
                _apply(content, waiting)
            elif fate < 0.7 and waiting.kind == "write":
                kept = chance.randrange(len(waiting.data) // _SECTOR + 1) * _SECTOR
                _apply(content, Event("write", name, waiting.data[:kept], waiting.offset))
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : end] = event.data
