"""The batch form: rows in order, bad rows named by line before any work, output whole or not at all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from models.tasks.batch import run_batch
from models.tasks.errors import BadRow


def upper(rows: Sequence[dict[str, Any]]) -> list[Mapping[str, Any]]:
    return [{"upper": row["text"].upper()} for row in rows]


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_rows_come_back_in_order_with_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", [json.dumps({"id": i, "text": f"é{i}"}) for i in range(25)] + [""])
    found = run_batch(source, tmp_path / "out.jsonl", upper, rows_at_once=4)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [{"id": i, "text": f"é{i}", "upper": f"É{i}"} for i in range(25)]
    assert found["rows"] == 25
    assert found["rows_per_second"] > 0
    assert capsys.readouterr().out == ""


def test_gzip_and_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write('{"text": "a"}\n')
    run_batch(path, path, upper)
    with gzip.open(path, "rt") as file:
        assert json.loads(file.read()) == {"text": "a", "upper": "A"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 3}', "Line 2 .* has no text in the field 'text' \\(it has id\\)"),
        ('{"text": 5}', "Line 2 .* has no text in the field"),
        ('{"text": " "}', "Line 2 .* has nothing in the field"),
        ("[1]", "Line 2 .* is no JSON object"),
        ("{", "Line 2 .* is not JSON"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_done(tmp_path: Path, line: str, reason: str) -> None:
    source = write(tmp_path / "in.jsonl", ['{"text": "a"}', line])
    calls: list[int] = []

    def work(rows: Sequence[dict[str, Any]]) -> list[Mapping[str, Any]]:
        calls.append(len(rows))
        return upper(rows)

    with pytest.raises(BadRow, match=reason) as caught:
        run_batch(source, tmp_path / "out.jsonl", work)
    assert caught.value.line == 2
    assert not calls
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRow):
        run_batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", upper)


def test_a_failure_in_the_middle_leaves_the_old_output(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ['{"text": "a"}'] * 5)
    target = write(tmp_path / "out.jsonl", ["old"])

    def broken(rows: Sequence[dict[str, Any]]) -> list[Mapping[str, Any]]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        run_batch(source, target, broken)
    assert target.read_text() == "old\n"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_empty_file_gives_an_empty_file(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [])
    assert run_batch(source, tmp_path / "out.jsonl", upper)["rows"] == 0
    assert (tmp_path / "out.jsonl").read_text() == ""
