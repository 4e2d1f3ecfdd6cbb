"""The parser's child process: what a hostile document can do to it, and that the next document does not notice."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import retrieval.parsing
from retrieval.errors import DocumentError
from retrieval.formats import Extracted
from retrieval.parsing import ParserPool
from tests.pdf import pdf_of, write_objects, write_pdf

ROOT = Path(__file__).resolve().parents[2]

# A child whose parser obeys the document: what code taking over a parser could try.
_OBEYING_CHILD = f"""
import ctypes, os, socket, sys, time
sys.path.append({str(ROOT)!r})
from retrieval import parser_child
from retrieval.formats import Extracted
parser_child.CPU_SECONDS = 1

def obey(data, name):
    order = data.decode()
    if order == "spin":
        while True: pass
    if order == "sleep":
        time.sleep(60)
    if order == "memory":
        return len(bytearray(3 << 30))
    if order == "crash":
        os.kill(os.getpid(), 11)
    if order == "recurse":
        def again(): return again()
        again()
    if order == "write":
        try:
            with open("/tmp/" + str(os.getpid()), "wb") as file: file.write(b"x")
        except OSError:
            os.unlink("/tmp/" + str(os.getpid()))
            return Extracted("refused")
    if order == "files":
        try: held = [os.dup(0) for _ in range(100)]
        except OSError: return Extracted("refused")
    if order == "environment":
        return Extracted(",".join(sorted(os.environ)) or "none")
    if order == "interfaces":
        return Extracted(",".join(name for _, name in socket.if_nameindex()))
    if order == "garbage":
        return Extracted(text=None)
    return Extracted("read " + order)

parser_child._extract = obey
parser_child.main(int(sys.argv[1]))
"""


@pytest.fixture
def obeying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Parse a document that says what the child shall do; gives its text or the code of its error."""
    child = tmp_path / "child.py"
    child.write_text(_OBEYING_CHILD)
    monkeypatch.setattr(retrieval.parsing, "_CHILD", child)
    with ParserPool(1, wall_seconds=4) as pool:

        def parse(order: str) -> str:
            file = tmp_path / "order.txt"
            file.write_text(order)
            descriptor = os.open(file, os.O_RDONLY)
            try:
                return pool.parse(descriptor, "order.txt").text
            except DocumentError as error:
                return error.code
            finally:
                os.close(descriptor)

        yield parse


@pytest.mark.parametrize(
    ("order", "outcome"),
    [
        ("spin", "timeout"), ("sleep", "timeout"), ("memory", "too_complex"), ("crash", "corrupt"),
        ("recurse", "too_complex"), ("write", "refused"), ("files", "refused"),
    ],
)  # fmt: skip
def test_d06_d07_k14_a_hostile_document_costs_one_child(
    obeying: Callable[[str], str], order: str, outcome: str
) -> None:
    began = time.monotonic()
    assert obeying("before") == "read before"
    assert obeying(order) == outcome
    assert time.monotonic() - began < 10
    assert obeying("after") == "read after"


def test_the_child_sees_no_environment(obeying: Callable[[str], str]) -> None:
    assert obeying("environment") in ("none", "LC_CTYPE")


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of its own needs root or user namespaces")
def test_the_child_has_no_network(obeying: Callable[[str], str]) -> None:
    assert obeying("interfaces") == "lo"


def test_a_child_that_answers_nonsense_is_not_believed(obeying: Callable[[str], str]) -> None:
    assert obeying("garbage") in ("corrupt", "None")


def test_children_are_reused_and_then_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval.parsing, "FILES_PER_CHILD", 3)
    file = tmp_path / "a.txt"
    file.write_text("words")
    descriptor = os.open(file, os.O_RDONLY)
    seen = []
    with ParserPool(1) as pool:
        for _ in range(7):
            os.lseek(descriptor, 0, os.SEEK_SET)
            assert pool.parse(descriptor, "a.txt").text == "words"
            seen.append({child._process.pid for child in pool._all})
    os.close(descriptor)
    assert len(set().union(*seen)) == 3


def test_k13_no_descriptor_or_child_is_left(tmp_path: Path) -> None:
    file = write_pdf(tmp_path / "a.pdf", ["words"])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with ParserPool(2) as pool:
            descriptor = os.open(file, os.O_RDONLY)
            assert pool.parse(descriptor, "a.pdf").text == "words"
            os.close(descriptor)
            children = list(pool._all)
        assert all(child._process.returncode is not None for child in children)
    assert len(os.listdir("/proc/self/fd")) == before


def parsed(folder: Path, name: str, data: bytes) -> Extracted | str:
    """A document as a fresh child reads it, or the code of its reason."""
    (folder / name).write_bytes(data)
    descriptor = os.open(folder / name, os.O_RDONLY)
    try:
        with ParserPool(1) as pool:
            return pool.parse(descriptor, name)
    except DocumentError as error:
        return error.code
    finally:
        os.close(descriptor)


def test_d07_a_pdf_that_swells_costs_one_child(tmp_path: Path) -> None:
    """A page of a kilobyte that unpacks, twice, to 700 MiB."""
    packed = zlib.compress(zlib.compress(b" " * (700 << 20), 1), 9)
    content = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (len(packed), packed)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>"
    bomb = write_objects([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Kids [3 0 R] /Count 1 >>", page, content])
    assert len(bomb) < 10_000
    began = time.monotonic()
    assert parsed(tmp_path, "bomb.pdf", bomb) in ("too_complex", "timeout", "corrupt", "no_text")
    assert time.monotonic() - began < 30


def test_d08_a_pdf_of_ten_thousand_pages_is_read_whole(tmp_path: Path) -> None:
    found = parsed(tmp_path, "long.pdf", pdf_of([f"page {number}" for number in range(10_000)]))
    assert isinstance(found, Extracted)
    assert (len(found.page_starts), found.text[-9:], found.warnings) == (10_000, "page 9999", [])
