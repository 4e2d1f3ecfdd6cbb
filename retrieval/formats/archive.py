"""Zip containers of office documents and books, checked from their directory before anything in them is opened.

Members are only ever read by the names that a format defines, into memory, up to a limit; nothing is unpacked to disk
and no archive inside the archive is opened.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from posixpath import dirname, join, normpath
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]

from retrieval.formats import Refused
from retrieval.formats.xmltree import attribute, inside, local, parse_xml

MAX_ENTRIES = 10_000
MAX_EXPANDED_BYTES = 200 << 20
MAX_RATIO = 100
_RATIO_FROM_BYTES = 1 << 20
_DIRECTORY_BYTES_PER_ENTRY = 512
_END = struct.Struct("<4s4H2LH")
_LOCAL_HEADER_BYTES = 30
_ENCRYPTED = 0x1
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError, KeyError, OSError)


class Archive:
    """The members of a zip file by name.

    Raises:
        Refused: corrupt, encrypted, too_complex (too many entries) or expands_too_much.
    """

    def __init__(self, data: bytes) -> None:
        _check_end(data)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            entries = self._zip.infolist()
        except _BROKEN as error:
            raise Refused("corrupt", "is a damaged archive: its table of contents cannot be read.") from error
        _check_entries(entries)
        self._by_name = {_key(entry.filename): entry for entry in entries}

    @property
    def names(self) -> list[str]:
        """The members' names as the directory lists them."""
        return [entry.filename for entry in self._by_name.values()]

    def has(self, name: str) -> bool:
        """Whether there is such a member; case does not matter."""
        return _key(name) in self._by_name

    def read(self, name: str) -> bytes | None:
        """A member's bytes; None where there is none of this name.

        Raises:
            Refused: corrupt.
        """
        entry = self._by_name.get(_key(name))
        if entry is None:
            return None
        try:
            return self._zip.read(entry)
        except (*_BROKEN, RuntimeError) as error:
            raise Refused("corrupt", "is damaged: a part of it cannot be unpacked.") from error

    def xml(self, name: str) -> etree._Element | None:
        """A member as a tree; None where there is none of this name.

        Raises:
            Refused: corrupt or unsafe_xml.
        """
        data = self.read(name)
        return None if data is None else parse_xml(data)

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """What a part of an Office document points at inside the file: id -> (last word of the type, member)."""
        folder, _, name = part.rpartition("/")
        tree = self.xml(f"{folder}/_rels/{name}.rels".lstrip("/"))
        found: dict[str, tuple[str, str]] = {}
        for item in tree if tree is not None else ():
            if local(item) == "Relationship" and item.get("TargetMode") != "External":
                kind = str(item.get("Type", "")).rpartition("/")[2]
                found[str(item.get("Id", len(found)))] = (kind, resolved(part, str(item.get("Target", ""))))
        return found

    def related(self, part: str, kind: str) -> list[str]:
        """The members that a part points at with relations of one type, in their order."""
        return [member for found, member in self.relations(part).values() if found == kind and self.has(member)]


class FlatPackage(Archive):
    """The members of an Office document that was saved as one XML file.

    Args:
        root: its "package" element.
    """

    def __init__(self, root: etree._Element) -> None:
        self._parts: dict[str, bytes] = {}
        for part in root:
            held = inside(part, "xmlData")
            if held is not None and len(held):
                self._parts[_key(attribute(part, "name") or "")] = etree.tostring(held[0], encoding="utf-8")

    @property
    def names(self) -> list[str]:
        """The parts' names."""
        return list(self._parts)

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        return _key(name) in self._parts

    def read(self, name: str) -> bytes | None:
        """A part's XML."""
        return self._parts.get(_key(name))


def resolved(part: str, target: str) -> str:
    """The member that a reference in `part` means."""
    target = unquote(target.partition("#")[0])
    return normpath(target if target.startswith("/") else join("/", dirname(part), target)).lstrip("/")


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()


def _check_end(data: bytes) -> None:
    """Look at the end record alone: a directory of a million entries would cost seconds to read."""
    at = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    if at < 0 or len(data) - at < _END.size:
        raise Refused("corrupt", "is a damaged archive: its end is missing.")
    entries, size = _END.unpack_from(data, at)[4:6]
    if entries > MAX_ENTRIES or size > MAX_ENTRIES * _DIRECTORY_BYTES_PER_ENTRY:
        raise Refused("too_complex", f"is an archive of more than {MAX_ENTRIES} entries, which no document needs.")


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise Refused("too_complex", f"is an archive of {len(entries)} entries; a document may have {MAX_ENTRIES}.")
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise Refused("encrypted", "is protected with a password; save a copy without one and add that.")
    packed = [entry for entry in entries if entry.file_size > entry.compress_size]
    swollen = [
        entry
        for entry in packed
        if entry.file_size > _RATIO_FROM_BYTES and entry.file_size > MAX_RATIO * max(1, entry.compress_size)
    ]
    total = sum(entry.file_size for entry in packed)
    if swollen or total > MAX_EXPANDED_BYTES:
        raise Refused(
            "expands_too_much",
            f"would unpack to {total >> 20} MiB, up to {MAX_RATIO}:1 and {MAX_EXPANDED_BYTES >> 20} MiB are read; "
            "save it again in its own program or split it.",
        )
    _check_overlap(entries)


def _check_overlap(entries: list[zipfile.ZipInfo]) -> None:
    end = 0
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset < end:
            raise Refused("expands_too_much", "is an archive whose entries lie over each other, as in a bomb.")
        end = entry.header_offset + _LOCAL_HEADER_BYTES + len(entry.filename) + entry.compress_size
