"""The shared data sets as files that `hearth eval` reads, and shares with their 95 % intervals.

Each function writes one file of JSON lines under a folder; rows are drawn with a seed, so that a run can be repeated.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.assembly import House
from agent.evaluation import COLLECTION, evaluation_library, read_lines
from retrieval import Library
from tests.benchmarks.first_light import SHARED
from training.data import part_of_group
from training.recipe import load_recipe

ARTICLES = SHARED / "squad_articles" / "share.jsonl.gz"
Row = dict[str, Any]


def rows(data_set: str, part: str = "share") -> list[Row]:
    """The rows of one file of a shared data set."""
    return [row for _, row in read_lines(SHARED / data_set / f"{part}.jsonl.gz")]


def interval(part: int, whole: int) -> str:
    """`0.800 (0.70 to 0.87)`: a share with its 95 % interval.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    if not whole:
        return "-"
    z, share = 1.96, part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return f"{share:.3f} ({middle - half:.2f} to {middle + half:.2f})"


def drawn(found: Sequence[Row], limit: int, seed: int = 0) -> list[Row]:
    """So many of the rows, always the same ones; all of them where there are fewer."""
    return random.Random(seed).sample(list(found), min(limit, len(found)))


def write_lines(path: Path, found: Iterable[Mapping[str, Any]]) -> Path:
    """The rows as a file of JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    return path


def accepted(row: Row) -> list[str]:
    """The accepted answers of a row of SQuAD; none where it cannot be answered."""
    return list(dict.fromkeys(row["answers"]["text"]))


def questions(found: Sequence[Row]) -> list[Row]:
    """Rows of SQuAD as `{id, question, answers}`."""
    return [{"id": row["id"], "question": row["question"], "answers": accepted(row)} for row in found]


def calls(name: str, limit: int) -> Iterator[Row]:
    """Rows of BFCL `simple_python` or `multiple` as `{id, message, tool, arguments, tools}`.

    Only of those that the chat model's adapter has not learned, the test part of its recipe.
    """
    recipe = load_recipe("assistant")
    for row in drawn([row for row in rows("bfcl", name) if part_of_group(recipe, row["id"]) == "test"], limit):
        ((tool, arguments),) = row["ground_truth"][0].items()
        yield {
            "id": row["id"],
            "message": row["question"][0][0]["content"],
            "tool": tool,
            "arguments": list(_every(arguments)),
            "tools": row["function"],
        }


def _every(choices: Mapping[str, Sequence[Any]]) -> Iterator[Row]:
    """Every accepted set of arguments: one of each member's choices, of which an empty text leaves it out."""
    for chosen in itertools.product(*([_plain(value) for value in values] for values in choices.values())):
        for one in itertools.product(*chosen):
            yield {name: value for name, value in zip(choices, one, strict=True) if value != ""}


def _plain(value: Any) -> list[Any]:
    """What a choice may be: an object's members have choices of their own."""
    return list(_every(value)) if isinstance(value, dict) else [value]


def choices(limit: int) -> Iterator[Row]:
    """Messages of MetaTool as `{id, message, tool, tools}`, every one of its 199 tools offered each time."""
    described = json.loads((SHARED / "metatool" / "tool_descriptions.json").read_text(encoding="utf-8"))
    tools = [{"name": name, "description": text} for name, text in described.items()]
    for number, row in enumerate(drawn(rows("metatool", "single_tool"), limit)):
        yield {"id": str(number), "message": row["query"], "tool": row["tool"], "tools": tools}


def intents(limit: int) -> Iterator[Row]:
    """Messages of CLINC150's test as `{id, message, tool, tools}`: an intent is a tool, out of scope is none."""
    found = [*rows("clinc150", "test"), *rows("clinc150", "oos_test")]
    names = sorted({row["intent"] for row in found} - {"oos"})
    tools = [{"name": name, "description": name.replace("_", " ")} for name in names]
    for number, row in enumerate(drawn(found, limit)):
        tool = None if row["intent"] == "oos" else row["intent"]
        yield {"id": str(number), "message": row["text"], "tool": tool, "tools": tools}


def halves(found: Sequence[Row]) -> tuple[set[str], set[str]]:
    """The titles of some rows in two halves, drawn."""
    titles = sorted({row["title"] for row in found})
    random.Random(0).shuffle(titles)
    return set(titles[::2]), set(titles[1::2])


@contextmanager
def library_without(house: House, left_out: Iterable[str]) -> Iterator[Library]:
    """The library of all shared articles less some, for a while; the whole is made once, in the home's cache."""
    whole = evaluation_library(house, [ARTICLES])
    store: Any = whole._store
    folder = store.name
    whole.close()
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as temporary:
        shutil.copytree(folder, Path(temporary, "library"))
        with house.library_at(Path(temporary, "library")) as library:
            held = {record.document for record in library.documents([COLLECTION])}
            if gone := sorted(held & set(left_out)):
                library.remove(gone, COLLECTION)
            yield library
