"""Files and folders on disk: which ones there are, and how one is opened so that nothing else is read in its place.

Links are not followed inside a folder, and pipes, sockets and devices are never opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import DocumentError, NotFound, NotRegularFile, PermissionDenied, Unreadable

_PART = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file to bring in: `source` is its key in the library, `name` what a person sees; `asked` if named itself."""

    path: Path
    source: str
    name: str
    asked: bool


@dataclass
class Listing:
    """What a set of paths holds.

    `roots` are the folders that were listed; `unlisted` those inside them that could not be, so nothing in them may be
    taken for vanished.
    """

    files: list[SourceFile] = field(default_factory=list)
    problems: list[tuple[DocumentError, bool]] = field(default_factory=list)
    """(error, whether the person named that very path)."""
    roots: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    def vanished(self, source: str) -> bool:
        """Whether a stored document's file lay in a listed folder and is gone."""
        inside = any(source.startswith(_as_prefix(root)) for root in self.roots)
        hidden = any(source.startswith(_as_prefix(folder)) for folder in self.unlisted)
        return inside and not hidden and not os.path.lexists(source)


def list_files(paths: Sequence[str | Path], names: Mapping[Path, str]) -> Listing:
    """Every file of the paths in order, folders walked by name, hidden entries left out, each file once."""
    listing = Listing()
    shown = {os.path.abspath(path): name for path, name in names.items()}
    seen: set[str] = set()
    for path in paths:
        for file in _files_of(Path(path), listing):
            if file.source not in seen:
                seen.add(file.source)
                name = shown.get(os.path.abspath(file.path)) or shown.get(os.path.abspath(path)) or file.name
                listing.files.append(SourceFile(file.path, file.source, printable(name), file.asked))
    return listing


def printable(name: str) -> str:
    """A file name as text that every store accepts: what is no character becomes an escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def _files_of(path: Path, listing: Listing) -> Iterator[SourceFile]:
    named = printable(path.name or str(path))
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError, ValueError) as error:
        listing.problems.append((_why(error, named), True))
        return
    if stat.S_ISDIR(mode):
        listing.roots.append(printable(str(real)))
        yield from _walk(real, listing)
    elif stat.S_ISREG(mode):
        yield SourceFile(real, printable(str(real)), path.name, asked=True)
    else:
        listing.problems.append((NotRegularFile(named, "is no ordinary file and was not read."), True))


def _walk(root: Path, listing: Listing) -> Iterator[SourceFile]:
    """The ordinary files under a folder, depth first in the order of names."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            listing.unlisted.append(printable(str(folder)))
            listing.problems.append((_why(error, printable(str(folder.relative_to(root)))), folder == root))
            continue
        folders = []
        for entry in inside:
            if entry.name.startswith("."):
                continue
            path = folder / entry.name
            name = str(path.relative_to(root))
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                yield SourceFile(path, printable(str(path)), name, asked=False)
            else:
                words = "is a link" if entry.is_symlink() else "is no ordinary file"
                listing.problems.append((NotRegularFile(printable(name), f"{words} and was not read."), False))
        waiting += reversed(folders)


def open_file(file: SourceFile) -> int:
    """A descriptor of an ordinary file, opened without following a link or waiting for a pipe.

    Raises:
        DocumentError: not_found, permission, not_a_file or unreadable.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(file.path, flags)
    except OSError as error:
        raise _why(error, file.name) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularFile(file.name, "is no ordinary file and was not read.")
    return descriptor


def hash_file(descriptor: int, name: str) -> str:
    """SHA-256 of an open file's content.

    Raises:
        DocumentError: the disk cannot read it.
    """
    digest, at = hashlib.sha256(), 0
    try:
        while part := os.pread(descriptor, _PART, at):
            digest.update(part)
            at += len(part)
    except OSError as error:
        raise _why(error, name) from error
    return digest.hexdigest()


def stamp_of(status: os.stat_result) -> str:
    """What changes whenever a file's content does, as far as the file system tells: size, times and inode."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def changed_while_read(descriptor: int, stamp: str, sha256: str, name: str) -> bool:
    """Whether the content is another now than when `stamp` and `sha256` were taken."""
    return stamp_of(os.fstat(descriptor)) != stamp and hash_file(descriptor, name) != sha256


def _as_prefix(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep


def _why(error: OSError | RuntimeError | ValueError, name: str) -> DocumentError:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(name, "does not exist; check the spelling.")
    if number in (errno.EACCES, errno.EPERM):
        return PermissionDenied(name, "may not be read by this user; change its permissions or leave it out.")
    if number == errno.ELOOP or isinstance(error, RuntimeError):
        return NotRegularFile(name, "is a link and was not read.")
    return Unreadable(name, f"could not be read: {getattr(error, 'strerror', None) or error}.")
