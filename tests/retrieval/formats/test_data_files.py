"""CSV, JSON, XML and notebooks: rows and records that stand for themselves, and files made to break a parser."""

from __future__ import annotations

import json

import pytest

from retrieval.formats import Refused
from retrieval.formats.delimited import extract_delimited
from retrieval.formats.identify import parse
from retrieval.formats.jsons import extract_json, extract_jsonl
from retrieval.formats.notebook import extract_notebook
from retrieval.formats.tables import labelled
from retrieval.formats.xml import extract_xml
from retrieval.splitters import Splitter
from tests.doubles import HashEmbeddings


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_and_rows_name_their_columns(delimiter: str) -> None:
    rows = [["Name", "Price", "Note"], ["Anna", "1,5;2", 'say "hi"'], ["Ben", "", "two\nlines"]]
    quoted = "\n".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    found = extract_delimited(quoted.encode())
    assert found.text.split("\n") == [
        "Name | Price | Note", 'Name: Anna | Price: 1,5;2 | Note: say "hi"', "Name: Ben | Note: two lines",
    ]  # fmt: skip
    assert [number for _, number in found.numbered] == [1, 2, 3]
    assert found.facts["delimiter"] == {"\t": "tab"}.get(delimiter, delimiter)


def test_a_file_of_numbers_has_no_header() -> None:
    assert extract_delimited(b"1,2,3\n4,5,6\n").text == "1 | 2 | 3\n4 | 5 | 6"


def test_d17_ragged_rows_nul_bytes_and_mixed_delimiters_are_kept_with_a_warning() -> None:
    found = extract_delimited(b"a,b,c\n1,2,3\n4,\x005\n6,7,8,9\nx;y;z\n")
    assert found.text.split("\n") == [
        "a | b | c",
        "a: 1 | b: 2 | c: 3",
        "a: 4 | b: 5",
        "a: 6 | b: 7 | c: 8 | 9",
        "a: x;y;z",
    ]
    assert [code for code, _ in found.warnings] == ["ragged"]
    assert "3 rows" in found.warnings[0][1]


def test_d17_a_field_without_end_is_named() -> None:
    with pytest.raises(Refused) as error:
        extract_delimited(b'a,b\n"' + b"x" * 1_100_000 + b'",2\n')
    assert error.value.code == "too_complex"


def test_a_table_begins_anew_after_an_empty_row_and_may_have_a_title() -> None:
    rows = [
        ["Prices"],
        ["Item", "Size", "Cost"],
        ["nail", "3", "1"],
        [],
        ["Who", "Where", "When"],
        ["Anna", "Ulm", "2020"],
    ]
    assert [text for _, text in labelled(enumerate(rows, 1))] == [
        "Prices", "Item | Size | Cost", "Item: nail | Size: 3 | Cost: 1", "Who | Where | When",
        "Who: Anna | Where: Ulm | When: 2020",
    ]  # fmt: skip


def test_json_records_are_lines_with_dotted_names() -> None:
    data = [
        {"name": "Anna", "home": {"town": "Ulm", "zip": 89073}, "tags": ["a", "b"], "no": None, "ok": True},
        {"name": "Ben"},
    ]
    found = extract_json(json.dumps(data).encode())
    assert found.text == "name: Anna | home.town: Ulm | home.zip: 89073 | tags: a, b | ok: true\nname: Ben"
    assert (found.numbered_as, [number for _, number in found.numbered]) == ("record", [1, 2])
    assert extract_json(b'{"title": "T", "people": [{"n": 1}, {"n": 2}]}').text == "title: T\n\npeople\n\nn: 1\nn: 2"


def test_d18_numbers_stay_as_written_and_a_name_that_stands_twice_keeps_both() -> None:
    data = b'{"a": 1e999, "a": 2, "big": ' + b"9" * 6000 + b', "nan": NaN}'
    text = extract_json(data).text
    assert text.split("\n")[:2] == ["a: 1e999", "a: 2"]
    assert "9" * 6000 in text


@pytest.mark.parametrize(
    "data", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"a": 1']
)
def test_d18_json_nested_without_end_is_corrupt(data: bytes) -> None:
    with pytest.raises(Refused) as error:
        extract_json(data)
    assert error.value.code == "corrupt"
    with pytest.raises(Refused):
        extract_jsonl(data)


def test_json_lines_keep_their_line_numbers_and_broken_lines() -> None:
    found = extract_jsonl(b'{"a": 1}\n\n{"a": 2}\nbroken\n{"a": 3}\n')
    assert found.text == "a: 1\na: 2\nbroken\na: 3"
    assert [number for _, number in found.numbered] == [1, 3, 4, 5]
    assert [code for code, _ in found.warnings] == ["partial"]
    assert parse(b'{"a": 1}\n{"a": 2}\n', "a.json").text == "a: 1\na: 2"


def test_xml_is_read_line_by_line_under_its_titles() -> None:
    data = b"""<?xml version="1.0" encoding="iso-8859-1"?><book><chapter><title>One caf\xe9</title>
    <p>Mixed <b>words</b> here.</p><price>12</price></chapter></book>"""
    found = extract_xml(data)
    assert found.text == "One café\n\nMixed words here.\nprice: 12"
    assert (found.headings, found.facts["encoding"]) == ([(0, 2, "One café")], "iso-8859-1")


@pytest.mark.parametrize(
    "entity",
    [
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">',
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://127.0.0.1:1/"> %p;',
    ],
)
def test_d15_declared_entities_are_refused(entity: str) -> None:
    data = f'<?xml version="1.0"?><!DOCTYPE d [{entity}]><d>&x;&b;</d>'.encode()
    with pytest.raises(Refused) as error:
        extract_xml(data)
    assert error.value.code == "unsafe_xml"


def test_a_document_type_that_only_names_its_kind_is_fine() -> None:
    data = (
        b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://127.0.0.1:1/x.dtd"><plist><key>k</key></plist>'
    )
    assert extract_xml(data).text == "key: k"


def test_notebook_cells_are_counted_under_their_headings() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Load\n", "\n", "First we load."]},
        {"cell_type": "code", "source": "print(1)", "outputs": [{"output_type": "stream", "text": ["1\n"]}]},
        {"cell_type": "code", "source": "x", "outputs": [
            {"output_type": "execute_result", "data": {"text/plain": "42", "image/png": "AAAA"}},
            {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["\x1b[31m..."]}]},
        {"cell_type": "markdown", "source": "## Then\nmore"},
    ]  # fmt: skip
    found = extract_notebook(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}).encode())
    assert found.text.split("\n\n") == [
        "Load", "First we load.", "print(1)", "1", "x", "42", "KeyError: 'x'", "Then", "more",
    ]  # fmt: skip
    assert [(level, title) for _, level, title in found.headings] == [(1, "Load"), (2, "Then")]
    chunks = Splitter(HashEmbeddings().token_spans, 8, 0).split_extracted(found)
    assert chunks[0].position == "Load, cell 1"
    assert chunks[-1].position == "Load, cells 3-4"


@pytest.mark.parametrize("data", [b"{}", b"[]", b"[" * 100_000, b'{"cells": 3}', b"nothing"])
def test_d18_a_broken_notebook_is_named(data: bytes) -> None:
    with pytest.raises(Refused) as error:
        extract_notebook(data)
    assert error.value.code in ("corrupt", "no_text")
