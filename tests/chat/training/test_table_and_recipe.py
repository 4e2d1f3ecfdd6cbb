"""A dropped table: which columns are told and which asked for, and the recipe that is written for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat.training import recipe
from chat.training.table import is_table, look
from tests.chat.training.tables import reviews, write_csv
from training.errors import DataError
from training.recipe import load_recipe
from training.sources import rows_of

ROWS = reviews(60)


def test_names_tell_the_columns(tmp_path: Path) -> None:
    rows = [(str(index), text, label, "shop") for index, (text, label) in enumerate(ROWS)]
    table = look(write_csv(tmp_path / "received", ["id", "text", "label", "source"], rows), "reviews.csv")
    assert (table.rows, table.texts(), table.labels()) == (60, ["text"], ["label"])
    assert table.holds_labels()


def test_values_tell_the_columns_where_names_do_not(tmp_path: Path) -> None:
    rows = [(str(index), text, label) for index, (text, label) in enumerate(ROWS)]
    table = look(write_csv(tmp_path / "received", ["nr", "said", "kind"], rows), "reviews.csv")
    assert (table.texts(), table.labels()) == (["said"], ["kind"])


def test_what_cannot_be_told_is_left_open(tmp_path: Path) -> None:
    rows = [(text, f"A reply to it: {text}", label, "north" if index % 2 else "south")
            for index, (text, label) in enumerate(ROWS)]  # fmt: skip
    table = look(write_csv(tmp_path / "received", ["first", "second", "kind", "region"], rows), "x.csv")
    assert table.texts()[:2] == ["second", "first"]
    assert sorted(table.labels()) == ["kind", "region"]


@pytest.mark.parametrize(
    "rows",
    [
        [(text, text[::-1]) for text, _ in ROWS],  # every value differs: no labels
        ROWS[:5],  # too few
        [(text, "praise") for text, _ in ROWS],  # one label
    ],
)
def test_a_table_without_labels_is_not_offered(tmp_path: Path, rows: list[tuple[str, ...]]) -> None:
    assert not look(write_csv(tmp_path / "received", ["a", "b"], rows), "x.csv").holds_labels()


def test_lists_are_several_labels(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text, "tags": [label, "seen"]}) for text, label in ROWS]
    (tmp_path / "received").write_text("\n".join(lines))
    table = look(tmp_path / "received", "rows.jsonl")
    assert recipe.classifier(table, "text", "tags")["task"]["problem"] == "multi"


def test_faults_are_told_by_the_persons_name_for_the_file(tmp_path: Path) -> None:
    (tmp_path / "6f1c").write_text("a,b\n1,2\n3\n")
    with pytest.raises(DataError, match=r"my rows\.csv, line 3: 1 fields were found and the header has 2"):
        look(tmp_path / "6f1c", "my rows.csv")
    (tmp_path / "7a").write_text("a,b\n")
    with pytest.raises(DataError, match=r"empty\.csv: the file has no rows"):
        look(tmp_path / "7a", "empty.csv")


def test_the_written_recipe_is_one_that_training_reads(tmp_path: Path) -> None:
    table = look(write_csv(tmp_path / "received", ['said "so"', "kind"], ROWS), "Größe & Reviews 2023.CSV")
    file = recipe.keep(recipe.classifier(table, 'said "so"', "kind"), table, tmp_path / "home")
    read = load_recipe(file)
    assert (read.name, read.task, read.publish.name) == ("grosse-reviews-2023", "sequence-classification", read.name)
    assert read.data.columns == {"text": 'said "so"', "label": "kind"}
    assert (read.method.kind, read.evaluation.baseline, read.gate.better_by) == ("lora", "current", 0.01)
    [source] = read.data.train
    assert [tuple(row.values.values()) for row in rows_of(source, file.parent)] == ROWS
    assert recipe.kept(tmp_path / "home") == [file]


def test_few_rows_are_seen_more_often_than_many(tmp_path: Path) -> None:
    few = look(write_csv(tmp_path / "few", ["text", "label"], ROWS), "few.csv")
    many = look(write_csv(tmp_path / "many", ["text", "label"], reviews(400)), "many.csv")
    epochs = [recipe.classifier(table, "text", "label")["training"]["epochs"] for table in (few, many)]
    assert epochs == [20, 12]  # 400 rows, 280 to learn from: 100 steps of 32 rows take 3,200 rows


def test_going_on_anyway_lifts_the_limits(tmp_path: Path) -> None:
    table = look(write_csv(tmp_path / "received", ["text", "label"], ROWS), "x.csv")
    read = load_recipe(recipe.keep(recipe.classifier(table, "text", "label", anyway=True), table, tmp_path))
    assert (read.data.limits.leaks, read.data.limits.contradictions) == (1.0, 1.0)


def test_questions_with_answers_teach_the_chat_model(tmp_path: Path) -> None:
    rows = [(f"What is {index} and {index}?", f"It is {2 * index}.") for index in range(30)]
    table = look(write_csv(tmp_path / "received", ["Question", "Answer"], rows), "sums.csv")
    assert (table.pair(), table.holds_labels()) == (("Question", "Answer"), False)
    read = load_recipe(recipe.keep(recipe.conversation(table, "Question", "Answer"), table, tmp_path))
    assert (read.task, read.data.columns) == ("chat", {"prompt": "Question", "completion": "Answer"})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Reviews.csv", "reviews"), ("../../etc/passwd.csv", "passwd"), ("classify.csv", "classify-table"),
        ("汉字.csv", "table"), ("a--b__c.jsonl", "a-b-c"), ("x" * 90 + ".csv", "x" * 40),
    ],
)  # fmt: skip
def test_a_files_name_becomes_an_entrys_name(file: str, name: str) -> None:
    assert recipe.entry_name(file) == name
    assert is_table(file)
