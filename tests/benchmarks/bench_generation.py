"""The RAG question (1,010 prompt tokens, 60 new, greedy) and plain decoding, each engine and peer in turn, medians.

Run `python -m tests.benchmarks.bench_generation [--home FOLDER] [--runs N]`; it prints one table and asserts nothing.
`others` is how many CPU cores other processes kept busy meanwhile: figures with much of it are too slow.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.catalog import find
from models.engines.base import Engine, GenerationOptions
from models.engines.openvino import OpenVinoEngine
from models.engines.openvino_convert import convert, converted_folder
from models.home import data_home
from models.loading import load_chat
from models.prepare import folder_of, wheel_file

PROMPT_TOKENS, NEW_TOKENS, DECODE_TOKENS = 1010, 60, 150
TASK = "What does the text above say? Repeat it word for word."
TOWN = (
    "{name} is a town of {people} people on the river {river}. Its harbour was built in {year} by the engineer "
    "{person} and holds {boats} boats. The town is known for its {goods}, which are sold at the market every {day}. "
    "In {later} a fire destroyed the {house}, and it was rebuilt in {stuff}.\n\n"
)


@dataclass
class Timed:
    """One answer: seconds to the first token and to the last, tokens made, and cores others kept busy."""

    first: float
    total: float
    tokens: int
    others: float


class Prompts:
    """Prompts of exactly PROMPT_TOKENS ids about invented towns; each has a beginning that no cache knows."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._made = 0

    def question(self) -> list[int]:
        """A question about a text."""
        return self._about_text(begun=0)

    def copy(self) -> list[int]:
        """The same, with the first words of the text as the beginning of the answer, which so becomes a copy of it."""
        return self._about_text(begun=16)

    def _about_text(self, begun: int) -> list[int]:
        self._made += 1
        mark = "\uffff"
        form = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": f"{mark}\n\n{TASK}"}], add_generation_prompt=True, tokenize=False
        )
        before, after = (self.tokenizer.encode(part, add_special_tokens=False) for part in form.split(mark))
        text = self.tokenizer.encode("".join(town(self._made * 100 + number) for number in range(20)))
        room = PROMPT_TOKENS - len(before) - len(after) - begun
        return [*before, *text[:room], *after, *text[:begun]]

    def short(self) -> list[int]:
        """A prompt of a line."""
        self._made += 1
        message = [{"role": "user", "content": f"Write story number {self._made} about a lighthouse keeper."}]
        return list(self.tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"])


def town(seed: int) -> str:
    """A paragraph of invented facts."""
    draw = random.Random(seed)
    start, end = draw.choice(("Nor", "Wes", "Hal", "Bren", "Kil", "Mar")), draw.choice(("ford", "wick", "ham", "burg"))
    return TOWN.format(
        name=start + end,
        people=f"{draw.randrange(2, 90)},{draw.randrange(100, 1000)}",
        river=draw.choice(("Alde", "Tarn", "Esk", "Lowe", "Wenn")),
        year=draw.randrange(1650, 1850),
        person=draw.choice(("Anna Weir", "John Marsh", "Ida Stone", "Paul Reed")),
        boats=draw.randrange(20, 400),
        goods=draw.choice(("baskets", "cheeses", "clocks", "pears", "woollen hats")),
        day=draw.choice(("Monday", "Wednesday", "Friday", "Saturday")),
        later=draw.randrange(1851, 1960),
        house=draw.choice(("town hall", "old mill", "library", "theatre")),
        stuff=draw.choice(("brick", "stone", "oak", "iron and glass")),
    )


def timed(pieces: Callable[[], Iterator[Any]]) -> Timed:
    """Runs an answer to its end."""
    busy, own, began = busy_seconds(), sum(os.times()[:2]), time.perf_counter()
    first, count = 0.0, 0
    for _ in pieces():
        first = first or time.perf_counter() - began
        count += 1
    total = time.perf_counter() - began
    others = (busy_seconds() - busy - (sum(os.times()[:2]) - own)) / total
    return Timed(first, total, count, max(0.0, others))


def busy_seconds() -> float:
    """CPU seconds that the whole machine has worked; 0 where the system does not say."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n")[0].split()[1:]]
    except OSError:
        return 0.0
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def answers(engine: Engine, prompt: Callable[[], list[int]], tokens: int, runs: int, **options: Any) -> list[Timed]:
    """Answers of one engine to fresh prompts, after one that warms up."""
    wanted = GenerationOptions(max_new_tokens=tokens, **options)
    made = [prompt() for _ in range(runs + 1)]
    return [timed(lambda ids=ids: engine.stream(ids, wanted, threading.Event())) for ids in made][1:]


def show(name: str, results: Sequence[Timed]) -> None:
    """One line of the table."""
    first, total = (statistics.median(getattr(result, field) for result in results) for field in ("first", "total"))
    rest = statistics.median((r.tokens - 1) / (r.total - r.first) if r.total > r.first else 0.0 for r in results)
    others = statistics.median(result.others for result in results)
    print(f"{name:<52}{first:>9.3f}{total:>9.3f}{rest:>10.1f}{others:>9.2f}", flush=True)


def peer_pipeline(folder: Path, prompts: Prompts, runs: int) -> None:
    """langchain-huggingface's pipeline with its defaults, as a person would write it."""
    from langchain_huggingface import HuggingFacePipeline

    exactly = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
    peer = HuggingFacePipeline.from_model_id(
        str(folder), task="text-generation", pipeline_kwargs=exactly, model_kwargs={"dtype": "float32"}
    )
    decode = prompts.tokenizer.decode
    texts = [decode(prompts.question()) for _ in range(runs + 1)]
    whole = [timed(lambda text=text: iter([peer.invoke(text)])) for text in texts][1:]
    show("HuggingFacePipeline, fp32 (whole answer)", whole)


def peer_llama(prompts: Prompts, runs: int) -> None:
    """llama.cpp on the same weights, where it is installed."""
    if importlib.util.find_spec("llama_cpp") is None:
        print("llama.cpp: left out, llama-cpp-python is not installed (it has no binary wheel, only a long build)")
        return
    from tests.llama import llama_without_amx

    threads = os.cpu_count() or 1
    model = llama_without_amx()(str(wheel_file(find(None, "chat"))), n_ctx=2048, n_threads=threads, verbose=False)

    def pieces(ids: list[int]) -> Iterator[int]:
        model.reset()
        for count, token in enumerate(model.generate(ids, temp=0.0), start=1):
            yield token
            if count == NEW_TOKENS:
                return

    made = [prompts.question() for _ in range(runs + 1)]
    show("llama.cpp Q4_1", [timed(lambda ids=ids: pieces(ids)) for ids in made][1:])


def our_engine(name: str, engine: Engine, prompts: Prompts, runs: int) -> None:
    """One of our engines: the question, a copy-like one with prompt lookup, a short prompt."""
    show(f"{name}: RAG question", answers(engine, prompts.question, NEW_TOKENS, runs))
    copies = answers(engine, prompts.copy, NEW_TOKENS, runs, prompt_lookup=True)
    show(f"{name}: copy-like, prompt lookup", copies)
    show(f"{name}: short prompt", answers(engine, prompts.short, DECODE_TOKENS, runs))


def seen_before(engine: Engine, prompts: Prompts, runs: int) -> None:
    """The same passage again with another question behind it, and the same copy-like question again."""
    base = prompts.question()
    ends = [[*base[:-40], *([600 + run] * 30), *base[-10:]] for run in range(runs + 1)]
    supply = iter([base, *ends])
    show("openvino: passage seen, another question", answers(engine, lambda: next(supply), NEW_TOKENS, runs))
    copy = prompts.copy()
    show(
        "openvino: copy-like seen, prompt lookup",
        answers(engine, lambda: copy, NEW_TOKENS, runs, prompt_lookup=True),
    )


def users_at_once(engine: Engine, prompts: Prompts, runs: int) -> None:
    """Tokens per second of all users together."""
    wanted = GenerationOptions(max_new_tokens=DECODE_TOKENS)
    one = 0.0
    for users in (1, 2, 4, 8):
        rates = []
        for _ in range(runs):
            asked = [prompts.short() for _ in range(users)]
            began = time.perf_counter()
            with ThreadPoolExecutor(users) as pool:
                made = pool.map(lambda ids: len(list(engine.stream(ids, wanted, threading.Event()))), asked)
            rates.append(sum(made) / (time.perf_counter() - began))
        rate = statistics.median(rates)
        one = one or rate
        print(f"openvino: {users} at once {rate:>12.1f} tokens/s in all, {rate / one:.1f} times one", flush=True)


def main() -> None:
    """Prepares, converts and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--without-peers", action="store_true")
    arguments = parser.parse_args()
    home, runs = data_home(arguments.home), arguments.runs
    entry = find(None, "chat")
    folder = folder_of(entry, home)
    print(f"converting for OpenVINO into {converted_folder(folder, home)} where it is not yet", file=sys.stderr)
    converted = convert(folder, home, name=entry.name)
    loaded = load_chat(folder, name=entry.name, chat_template=entry.chat_template)
    prompts = Prompts(loaded.tokenizer)
    print(f"{'':<52}{'first s':>9}{'total s':>9}{'tokens/s':>10}{'others':>9}")
    with closing(OpenVinoEngine(converted)) as engine:
        our_engine("openvino", engine, prompts, runs)
        seen_before(engine, prompts, runs)
        users_at_once(engine, prompts, min(3, runs))
    our_engine(f"torch {loaded.choice.dtype}", loaded.engine, prompts, min(3, runs))
    if not arguments.without_peers:
        peer_pipeline(folder, prompts, min(3, runs))
        peer_llama(prompts, runs)


if __name__ == "__main__":
    main()
