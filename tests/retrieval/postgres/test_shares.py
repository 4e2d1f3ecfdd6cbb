"""What a worker of a cluster does with its files, without a cluster, and what is refused before one is asked."""

from __future__ import annotations

import functools
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hearth
from retrieval.cluster.errors import MissingRay
from retrieval.cluster.running import running
from retrieval.cluster.worker import Order, Worker, read_report, read_share, share_text
from retrieval.records import IngestReport
from retrieval.sources import SourceFile, list_files
from tests.retrieval.postgres import openers


def brought(worker: Worker, folder: Path) -> IngestReport:
    """What a worker reports of a folder's files."""
    answer = worker({"number": 7, "files": share_text(list_files([folder], {}).files)})
    assert (answer["number"], answer["error"]) == (7, "")
    return read_report(answer["report"])


def test_workers_that_are_handed_the_same_files_store_them_once(
    address: str, folder: Path, write: Callable[..., Path]
) -> None:
    """K01: also for a worker that looked up what is there before the other one stored it."""
    write("a.txt", "Pears are green.")
    write("b.txt", "Plums are blue.")
    write("empty.txt", "")
    order = Order(functools.partial(openers.sound, address), "fruit", {"year": 2020})
    early, late = Worker(order), Worker(order)
    early_sees = early._bring([])
    assert early_sees == IngestReport()
    first, second = brought(late, folder), brought(early, folder)
    assert (first.added, first.chunks, [note.code for note in first.failed]) == (["a.txt", "b.txt"], 2, ["empty_file"])
    assert (second.added, second.unchanged, second.chunks) == ([], 2, 0)
    with openers.sound(address) as library:
        held = library.documents(["fruit"])
        assert [(record.document, record.chunks) for record in held if record.status == "ready"] == [
            ("a.txt", 1),
            ("b.txt", 1),
        ]
        assert {record.metadata["year"] for record in held if record.status == "ready"} == {2020}
        assert library.verify()["problems"] == []


def test_a_rooms_error_comes_back_as_its_sentence(address: str, folder: Path, write: Callable[..., Path]) -> None:
    write("a.txt", "Pears are green.")
    with openers.sound(address) as library:
        library.add([folder])
    write("b.txt", "Plums are blue.")
    worker = Worker(Order(functools.partial(openers.of_another_model, address), "default", None))
    answer = worker({"number": 0, "files": share_text(list_files([folder], {}).files)})
    assert answer["report"] == ""
    assert "hash-other" in answer["error"]


def test_a_share_survives_its_way_as_text() -> None:
    """Names that are no Unicode too, as a file system may have them."""
    files = [
        SourceFile(Path("/d/\udcff.txt"), "/d/\\xff.txt", "ä.txt", True),
        SourceFile(Path("/d/b"), "/d/b", "b", False),
    ]
    assert share_text(files).isascii()
    assert read_share(share_text(files)) == files


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """(code, sentence) of a command that ends with status 1."""
    assert hearth.main([*arguments, "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    return error["code"], error["message"]


def test_a_library_in_a_folder_is_refused_before_ray_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, sentence = refused(capsys, "ingest", str(folder), "--ray", "local")
    assert code == "not_on_server"
    assert "HEARTH_LIBRARY_URL" in sentence


def test_without_the_extra_it_is_named(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("HEARTH_LIBRARY_URL", address)
    code, sentence = refused(capsys, "ingest", str(folder), "--workers", "2")
    assert (code, sentence) == ("missing_extra", str(MissingRay()))


def test_a_cluster_that_is_not_there_is_named_at_once(
    address: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HEARTH_LIBRARY_URL", address)
    code, sentence = refused(capsys, "ingest", str(folder), "--ray", f"127.0.0.1:{port}")
    assert code == "cluster_unreachable"
    assert f"127.0.0.1:{port} cannot be used (" in sentence


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999999"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    from retrieval.cluster.errors import ClusterUnreachable

    with pytest.raises(ClusterUnreachable, match="host:port"), running(address):
        pass
