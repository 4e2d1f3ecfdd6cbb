"""A library with the deterministic embedder, and a folder of documents to fill it from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from retrieval import Library
from tests.doubles import HashEmbeddings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def embeddings() -> HashEmbeddings:
    return HashEmbeddings()


@pytest.fixture
def library_path() -> Iterator[Path]:
    """Where a library may be made: in memory where there is such a folder, as every document is synced to the disk."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="hearth-test-", dir=memory if usable else None) as folder:
        yield Path(folder) / "library"


@pytest.fixture
def library(library_path: Path, embeddings: HashEmbeddings) -> Iterator[Library]:
    with Library.open(library_path, embeddings) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    made.mkdir()
    return made


@pytest.fixture
def write(folder: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of this name into the folder of documents."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def without_rights(library_path: Path, folder: Path) -> Callable[[str], str]:
    """Run lines in a process that has no rights over what is closed, root or not; gives what they print.

    The lines see Library, HashEmbeddings, RetrievalError, `path` (the library's folder) and `folder`.
    """

    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("root reads everything, and there is no setpriv here to give that up")

    def run(lines: str) -> str:
        script = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.doubles import HashEmbeddings
from retrieval import Library
from retrieval.errors import RetrievalError
path, folder = Path({str(library_path)!r}), Path({str(folder)!r})
{textwrap.dedent(lines)}"""
        command = [*prefix, sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
