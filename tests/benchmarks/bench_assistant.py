"""What the assistant reaches on the shared data: passages and citations, silence, overhead, and the choice of tools.

Run `python -m tests.benchmarks.bench_assistant KIND --home DIR [--limit N]`; each prints one table. The first run with
a home embeds all articles, five minutes on one core; then `passages` takes four minutes, `overhead` one, `silence`
twelve and `tools` two with the defaults. The chat model is the one that the home's settings choose, by its fastest
engine that is prepared there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from agent import Assistant
from agent.assembly import House
from agent.evaluation import COLLECTION, evaluation_library
from agent.events import Answer
from agent.settings import load_settings
from agent.tool_evaluation import evaluate_tools, read_messages
from models.metrics import contains_answer
from retrieval import Library
from tests.benchmarks import shared_sets
from tests.benchmarks.shared_sets import ARTICLES, Row, accepted, drawn, halves, interval, library_without, rows
from tests.doubles_model import ScriptedChatModel

PASSAGES, ANSWERS, SILENCE, OVERHEAD, TOOLS = 1000, 100, 1000, 60, 40
"""Rows of each kind by default."""


def show(columns: Sequence[str], table: Sequence[Sequence[object]]) -> None:
    """A Markdown table."""
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in table:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def measure_passages(house: House, limit: int) -> None:
    """Is the answer among the four passages, and after that: is it in the answer, and does every citation resolve?"""
    asked = drawn(rows("squad11_dev"), limit)
    with evaluation_library(house, [ARTICLES]) as library:
        held = {record.document: record for record in library.documents([COLLECTION])}
        found = [(row, search(house, library, row["question"])) for row in asked]
        marked = sum(any(holds(hit, row, library, held) for hit in hits) for row, hits in found)
        word = sum(any(says(hit, row) for hit in hits) for row, hits in found)
        few = drawn(asked, max(1, limit * ANSWERS // PASSAGES), seed=1)
        assistant = Assistant(house.chat_model(), library, house.settings, judge=house.judge, reader=house.reader)
        answers = [assistant.ask(row["question"], tool="search", collection=COLLECTION) for row in few]
        sources = [source for answer in answers for source in answer.sources]
        resolved = sum(library.text(s.document_id)[s.start : s.end] == s.quote for s in sources)
        given = [(row, answer) for row, answer in zip(few, answers, strict=True) if not answer.abstained]
        right = sum(contains_answer(answer.text, accepted(row)) > 0 for row, answer in given)
    print(f"{len(held)} articles, {sum(record.chunks for record in held.values())} passages")
    table = [
        ("the marked answer is among the four passages", marked, len(asked)),
        ("an accepted answer stands in one of the four, of that article", word, len(asked)),
        ("answered", len(given), len(few)),
        ("answered and contains an accepted answer", right, len(few)),
        ("citations that resolve, word for word", resolved, len(sources)),
    ]
    show(("", "share (95 %)", "n"), [(name, interval(part, whole), whole) for name, part, whole in table])


def search(house: House, library: Library, question: str) -> list[Document]:
    """As the assistant searches."""
    return library.search(question, top_k=house.settings.top_k, collections=[COLLECTION], tidy=True)


def holds(hit: Document, row: Row, library: Library, held: dict[str, Any]) -> bool:
    """Whether a passage covers one of the answers where it is marked in the article."""
    if hit.metadata["document"] != row["title"]:
        return False
    paragraph = library.text(held[row["title"]].document_id).find(row["context"])
    answers = zip(row["answers"]["answer_start"], row["answers"]["text"], strict=True)
    places = [(paragraph + start, paragraph + start + len(text)) for start, text in answers]
    return paragraph >= 0 and any(hit.metadata["start"] <= s and e <= hit.metadata["end"] for s, e in places)


def says(hit: Document, row: Row) -> bool:
    """Whether a passage of the right article holds the words of an accepted answer."""
    return hit.metadata["document"] == row["title"] and contains_answer(hit.page_content, accepted(row)) > 0


def measure_silence(house: House, limit: int) -> None:
    """Questions whose article is there, whose article was left out, and SQuAD 2.0's that no article answers.

    Whether the assistant abstains is decided before the chat model writes, so that one of a single word stands in.
    """
    found = rows("squad11_dev")
    hard = [row for row in rows("squad20_dev") if not accepted(row)]
    counts = {"article there": [0, 0], "article left out": [0, 0], "unanswerable (SQuAD 2.0), article there": [0, 0]}
    for index, left_out in enumerate(halves(found)):
        with library_without(house, left_out) as library:
            model = ScriptedChatModel(replies=["Unknown."], window_tokens=8192)
            assistant = Assistant(model, library, house.settings)
            of = {
                "article there": [row for row in found if row["title"] not in left_out],
                "article left out": [row for row in found if row["title"] in left_out],
                "unanswerable (SQuAD 2.0), article there": [row for row in hard if row["title"] not in left_out],
            }
            for name, questions in of.items():
                for row in drawn(questions, limit // 2, seed=10 + index):
                    answer = assistant.ask(row["question"], tool="search", collection=COLLECTION)
                    counts[name][0] += answer.abstained
                    counts[name][1] += 1
    show(
        ("", "answered (95 %)", "abstained (95 %)", "n"),
        [(name, interval(n - silent, n), interval(silent, n), n) for name, (silent, n) in counts.items()],
    )


class Timed:
    """Adds up the seconds that the chat model's own work takes."""

    def __init__(self, model: Any) -> None:
        self.seconds = 0.0
        own: Callable[..., Iterator[Any]] = model._stream

        def stream(*given: Any, **named: Any) -> Iterator[Any]:
            chunks = own(*given, **named)
            while True:
                began = time.perf_counter()
                try:
                    chunk = next(chunks)
                except StopIteration:
                    return
                finally:
                    self.seconds += time.perf_counter() - began
                yield chunk

        object.__setattr__(model, "_stream", stream)


def measure_overhead(house: House, limit: int) -> None:
    """Everything but the chat model's own work, for questions that the router itself sends to the documents."""
    with evaluation_library(house, [ARTICLES]) as library:
        model = house.chat_model()
        timed = Timed(model)
        parts = {"tools": house.tools, "router": house.router, "judge": house.judge}
        assistant = Assistant(model, library, house.settings, **parts)
        questions = [row["question"] for row in drawn(rows("squad11_dev"), limit + 3)]
        table: dict[str, list[float]] = {"all but the model": [], "- routing": [], "- retrieval": [], "- the rest": []}
        models: list[float] = []
        for number, question in enumerate(questions):
            timed.seconds, began = 0.0, time.perf_counter()
            answer: Answer = assistant.ask(question, collection=COLLECTION)
            total = 1000 * (time.perf_counter() - began)
            if number < 3 or answer.timings.retrieve_ms is None or not answer.new_tokens:
                continue
            own = total - 1000 * timed.seconds
            route, retrieve = answer.timings.route_ms or 0.0, answer.timings.retrieve_ms
            for name, value in zip(table, (own, route, retrieve, own - route - retrieve), strict=True):
                table[name].append(value)
            models.append(1000 * timed.seconds)
        chunks = sum(record.chunks for record in library.documents([COLLECTION]))
    reranker = house.roles().serving("rerank").name or "none"
    print(f"{chunks} passages, {len(models)} answers, reranker: {reranker}")
    show(
        ("", "median ms", "95 % below, ms"),
        [
            (name, f"{statistics.median(values):.0f}", f"{sorted(values)[int(0.95 * len(values))]:.0f}")
            for name, values in {**table, "the model": models}.items()
        ],
    )


def measure_tools(house: House, limit: int) -> None:
    """`hearth eval tools` on others' messages and tools; five times as many where no arguments are written."""
    sets = {
        "BFCL simple": shared_sets.calls("simple_python", limit),
        "BFCL multiple": shared_sets.calls("multiple", limit),
        "MetaTool, 199 tools": shared_sets.choices(5 * limit),
        "CLINC150, 150 intents or none": shared_sets.intents(5 * limit),
    }
    table = []
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        for name, found in sets.items():
            messages = read_messages(shared_sets.write_lines(Path(folder, "messages.jsonl"), found))
            _, judged = evaluate_tools(house, messages)
            called = [row for row in judged if row.valid is not None]
            exact = [row for row in judged if row.exact is not None]
            table.append(
                (
                    name,
                    interval(sum(row.right for row in judged), len(judged)),
                    interval(sum(bool(row.valid) for row in called), len(called)),
                    interval(sum(bool(row.exact) for row in exact), len(exact)),
                    len(judged),
                )
            )
    show(("", "tool (95 %)", "arguments valid", "arguments exact, of right tools", "n"), table)


KINDS = {
    "passages": (measure_passages, PASSAGES),
    "silence": (measure_silence, SILENCE),
    "overhead": (measure_overhead, OVERHEAD),
    "tools": (measure_tools, TOOLS),
}


def main() -> None:
    """Measure one kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--home", type=Path, help="a data home with prepared models; it keeps the articles' library")
    parser.add_argument("--limit", type=int, help="rows of each part; `passages` answers a tenth of them")
    options = parser.parse_args()
    work, rows_by_default = KINDS[options.kind]
    with House(load_settings({"home": options.home and str(options.home)})) as house:
        began = time.perf_counter()
        work(house, options.limit or rows_by_default)
        print(f"\n{options.kind}: {time.perf_counter() - began:.0f} s, chat model {house.label_serving('chat')}")


if __name__ == "__main__":
    main()
