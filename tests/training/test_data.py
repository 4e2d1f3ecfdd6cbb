"""Rows from files: T01 to T03, every format, mapping, splitting, fingerprints, and what is counted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from tests.training.conftest import opinions, write_rows
from training.checks import check_data
from training.data import Column, load_data, part_of_group
from training.errors import (
    BadLabel,
    ColumnMissing,
    Contradiction,
    DataError,
    DataNotFound,
    Leak,
    OneClass,
    TooFewRows,
)
from training.recipe import Recipe
from training.tasks import open_task

COLUMNS = (Column("text"), Column("label", "label"))
Make = Callable[..., Recipe]


def loaded(recipe: Recipe, tmp_path: Path) -> Any:
    return load_data(recipe, COLUMNS, tmp_path / "read")


def all_rows(splits: Any) -> list[tuple[str, list[str]]]:
    return [(row["text"], row["label"]) for _, part in splits.items() for row in part]


def save_csv(path: Path, rows: list[dict[str, Any]], separator: str = ",") -> None:
    lines = ["text" + separator + "label"] + [f'"{row["text"]}"{separator}{row["label"]}' for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8-sig")  # with the mark that spreadsheets write


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], object]] = {
    "rows.csv": save_csv,
    "semicolons.csv": lambda path, rows: save_csv(path, rows, ";"),
    "rows.tsv": lambda path, rows: save_csv(path, rows, "\t"),
    "rows.jsonl": write_rows,
    "rows.json": lambda path, rows: path.write_text(json.dumps(rows)),
    "wrapped.json": lambda path, rows: path.write_text(json.dumps({"data": rows})),
    "rows.jsonl.gz": lambda path, rows: path.write_bytes(
        gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    ),
    "rows.parquet": lambda path, rows: datasets.Dataset.from_list(rows).to_parquet(path),
    "saved": lambda path, rows: datasets.Dataset.from_list(rows).save_to_disk(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(name: str, opinion_recipe: Make, tmp_path: Path) -> None:
    rows = opinions(12)
    WRITERS[name](tmp_path / name, rows)
    found = all_rows(loaded(opinion_recipe(data__train=name), tmp_path))
    assert sorted(found) == sorted((row["text"], [row["label"]]) for row in rows)


def test_a_parts_rows_never_change_with_other_rows(opinion_recipe: Make, tmp_path: Path) -> None:
    rows = opinions(200)
    few, many = write_rows(tmp_path / "few.jsonl", rows[:100]), write_rows(tmp_path / "many.jsonl", rows)
    one, all_of_them = (loaded(opinion_recipe(data__train=path.name), tmp_path) for path in (few, many))
    for part in ("train", "validation", "test"):
        assert {row["text"] for row in getattr(one, part)} <= {row["text"] for row in getattr(all_of_them, part)}
    assert 5 < len(all_of_them.test) < 40


def test_rows_of_one_group_stay_together(opinion_recipe: Make, tmp_path: Path) -> None:
    rows = [row | {"title": f"article {index % 15}"} for index, row in enumerate(opinions(150))]
    write_rows(tmp_path / "rows.jsonl", rows)
    splits = loaded(opinion_recipe(data__split={"by": "title", "validation": 0.3, "test": 0.3}), tmp_path)
    title_of = {row["text"]: row["title"] for row in rows}
    titles = {name: {title_of[row["text"]] for row in part} for name, part in splits.items()}
    assert sum(map(len, titles.values())) == 15
    assert all(titles.values())


def test_rows_are_kept_together_by_the_first_of_several_columns_that_they_have(
    opinion_recipe: Make, tmp_path: Path
) -> None:
    rows = [
        row | ({"title": str(index % 7)} if index % 2 else {"id": str(index)}) for index, row in enumerate(opinions(60))
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    recipe = opinion_recipe(data__split={"by": ["title", "id"], "validation": 0.3, "test": 0.3})
    splits = loaded(recipe, tmp_path)
    for part, name in ((part, name) for name, part in splits.items()):
        for row in part:
            source = rows[row["_line"] - 1]
            assert part_of_group(recipe, source.get("title", source.get("id"))) == name
    with pytest.raises(ColumnMissing, match="page or title"):
        loaded(opinion_recipe(data__split={"by": ["page", "title"]}), tmp_path)


def test_further_rows_are_learned_from_and_never_judged_on(opinion_recipe: Make, tmp_path: Path) -> None:
    own = [row | {"title": f"article {index % 10}"} for index, row in enumerate(opinions(100))]
    more = [row | {"title": f"article {index % 20}"} for index, row in enumerate(opinions(60, seed=5))]
    write_rows(tmp_path / "rows.jsonl", own)
    write_rows(tmp_path / "more.jsonl", more)
    split = {"by": "title", "validation": 0.3, "test": 0.3}
    alone = loaded(opinion_recipe(data__split=split), tmp_path)
    recipe = opinion_recipe(data__split=split, data__further=["more.jsonl"])
    splits = load_data(recipe, COLUMNS, tmp_path / "again")
    for part in ("validation", "test"):
        assert getattr(splits, part).fingerprint == getattr(alone, part).fingerprint
    apart = {row["title"] for row in own if part_of_group(recipe, row["title"]) != "train"}
    assert 0 < len(apart) < 10
    wanted = [row["text"] for row in more if row["title"] not in apart]
    assert [row["text"] for row in splits.train] == [row["text"] for row in alone.train] + wanted
    assert splits.dropped == {"of a group that another part's file holds": len(more) - len(wanted)}


def test_the_fingerprint_follows_the_rows_and_not_the_files(opinion_recipe: Make, tmp_path: Path) -> None:
    rows = opinions(30)
    save_csv(tmp_path / "a.csv", rows)
    write_rows(tmp_path / "b.jsonl", rows)
    write_rows(tmp_path / "c.jsonl", [rows[0] | {"label": "other"}, *rows[1:]])
    a, b, c = (loaded(opinion_recipe(data__train=name), tmp_path) for name in ("a.csv", "b.jsonl", "c.jsonl"))
    assert a.fingerprint == b.fingerprint != c.fingerprint


@pytest.mark.parametrize(
    ("name", "text", "kind", "line", "words"),
    [
        ("a.csv", "text,label\n", TooFewRows, None, "no rows"),
        ("a.csv", "", DataError, None, "empty"),
        ("a.csv", "text,lable\nfine,good\n", ColumnMissing, 2, "did you mean 'lable'"),
        ("a.csv", "text,label\nfine,good,really\n", DataError, 2, "3 fields"),
        ("a.csv", 'text,label\n"fine,good\n', DataError, 2, "quot"),
        ("a.csv", "text,text\nfine,good\n", DataError, 1, "share a name"),
        ("a.jsonl", '{"text": "fine", "label": "good"}\n{"text": \n', DataError, 2, "no JSON"),
        ("a.jsonl", '{"text": "fine", "label": "good"}\n[1]\n', DataError, 2, "expected an object"),
        ("a.jsonl", '{"text": ["fine"], "label": "good"}\n', DataError, 1, "expected str"),
        ("a.docx", "fine", DataError, None, "expected a file of"),
    ],
)
def test_t01_what_cannot_be_read_is_named_with_file_and_line(
    name: str, text: str, kind: type[DataError], line: int | None, words: str, opinion_recipe: Make, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(kind, match=words) as caught:
        loaded(opinion_recipe(data__train=name), tmp_path)
    assert caught.value.line == line
    assert name in str(caught.value)


def test_t01_a_file_in_another_encoding_and_one_that_is_not_there(opinion_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text,label\nGrüße,good\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        loaded(opinion_recipe(data__train="a.csv"), tmp_path)
    with pytest.raises(DataNotFound, match=r"no such file.*hub:org/set"):
        loaded(opinion_recipe(data__train="b.csv", data__hub="org/set"), tmp_path)


def test_t02_rows_without_text_are_left_out_and_counted(opinion_recipe: Make, tmp_path: Path) -> None:
    rows = [*opinions(10), {"text": " ", "label": "good"}, {"text": None, "label": "bad"}, {"text": "x", "label": None}]
    rows.append({"text": "y", "label": ""})  # what an empty cell of a table is
    write_rows(tmp_path / "rows.jsonl", rows)
    splits = loaded(opinion_recipe(), tmp_path)
    assert splits.dropped == {"empty text": 1, "no text": 1, "no label": 1, "empty label": 1}
    assert len(all_rows(splits)) == 10


def test_t02_repeats_contradictions_and_secrets_are_counted_with_their_lines(
    opinion_recipe: Make, tmp_path: Path
) -> None:
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    rows = [
        {"text": "The lamp is fine", "label": "good"},
        {"text": "the lamp  is fine", "label": "good"},
        {"text": "THE LAMP IS FINE", "label": "bad"},
        {"text": f"my key is {key}", "label": "bad"},
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    recipe = opinion_recipe(data__split={"validation": 0.0, "test": 0.0}, data__limits={"contradictions": 0.9})
    found = check_data(recipe, COLUMNS, loaded(recipe, tmp_path))
    assert (found.repeated, found.contradictions, found.secrets) == (1, 2, 1)
    assert found.examples["contradictions"] == ["rows.jsonl:3 contradicts rows.jsonl:1"]
    recipe = opinion_recipe(data__split={"validation": 0.0, "test": 0.0}, data__limits={})
    with pytest.raises(Contradiction, match=r"2 rows \(50\.0%\)"):
        check_data(recipe, COLUMNS, loaded(recipe, tmp_path))


def test_t02_a_leak_is_refused_unless_the_recipe_allows_it(opinion_recipe: Make, tmp_path: Path) -> None:
    rows = opinions(20)
    write_rows(tmp_path / "rows.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", [rows[3], {"text": "new here", "label": "good"}])
    parts = {"data__test": "test.jsonl", "data__split": {"validation": 0.0}}
    recipe = opinion_recipe(**parts)
    with pytest.raises(Leak, match=r"1 rows of the test part \(50\.0%\).*test\.jsonl:1 is rows\.jsonl:4"):
        check_data(recipe, COLUMNS, loaded(recipe, tmp_path))
    recipe = opinion_recipe(**parts, data__limits={"leaks": 0.5})
    assert check_data(recipe, COLUMNS, loaded(recipe, tmp_path)).leaks == {"validation": 0, "test": 1}


@pytest.mark.parametrize(
    ("train", "test", "kind", "words"),
    [
        ([("a", "good"), ("b", "good")], [], OneClass, "only label is 'good'"),
        ([("a", "good"), ("b", "bad")], [("c", "fair")], BadLabel, "'fair' of the test part"),
        ([("a", ["good", "bad"]), ("b", ["bad"])], [], BadLabel, "2 labels"),
    ],
)
def test_t03_labels_that_make_no_sense(
    train: list[Any], test: list[Any], kind: type[DataError], words: str, opinion_recipe: Make, tmp_path: Path
) -> None:
    write_rows(tmp_path / "rows.jsonl", [{"text": text, "label": label} for text, label in train])
    write_rows(tmp_path / "test.jsonl", [{"text": text, "label": label} for text, label in test or train[:1]])
    recipe = opinion_recipe(data__test="test.jsonl", data__split={"validation": 0.0})
    with pytest.raises(kind, match=words):
        open_task(recipe).prepare(loaded(recipe, tmp_path))
