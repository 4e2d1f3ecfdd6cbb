"""The RAG question (1,010 prompt tokens, 60 new, greedy) and plain decoding, each engine and peer in turn, medians.

Run `python -m tests.benchmarks.bench_generation [--home FOLDER] [--runs N]`; it prints one table and asserts nothing.
`others` is how many CPU cores other processes kept busy meanwhile: figures with much of it are too slow.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
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
TEXT = Path(__file__).parents[2] / "LICENSE"
COPY = "Repeat the text above word for word from its first line on."
ASK = "What does the text above allow, and what does it ask in return?"


@dataclass
class Timed:
    """One answer: seconds to the first token and to the last, tokens made, and cores others kept busy."""

    first: float
    total: float
    tokens: int
    others: float


class Prompts:
    """Prompts of exactly PROMPT_TOKENS ids; each has a beginning of its own, so no cache knows it."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._text = tokenizer.encode(TEXT.read_text(encoding="utf-8"))
        self._made = 0

    def __call__(self, task: str) -> list[int]:
        self._made += 1
        room = PROMPT_TOKENS
        while True:
            passage = self._tokenizer.decode(self._text[:room])
            content = f"Copy {self._made} of a licence.\n\n{passage}\n\n{task}"
            message = [{"role": "user", "content": content}]
            ids = list(self._tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"])
            if len(ids) <= PROMPT_TOKENS:
                # the closing turns stay as they are; the few missing ids go in front of them
                return [*ids[:-20], *([ids[20]] * (PROMPT_TOKENS - len(ids))), *ids[-20:]]
            room -= max(1, len(ids) - PROMPT_TOKENS)

    def short(self) -> list[int]:
        """A prompt of a line."""
        self._made += 1
        message = [{"role": "user", "content": f"Write story number {self._made} about a lighthouse keeper."}]
        return list(self._tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"])


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
    decode = prompts._tokenizer.decode
    texts = [decode(prompts(ASK)) for _ in range(runs + 1)]
    whole = [timed(lambda text=text: iter([peer.invoke(text)])) for text in texts][1:]
    show("HuggingFacePipeline, fp32 (whole answer)", whole)


def peer_llama(prompts: Prompts, runs: int) -> None:
    """llama.cpp on the same weights, where it is installed."""
    if importlib.util.find_spec("llama_cpp") is None:
        print("llama.cpp: left out, llama-cpp-python is not installed (it has no binary wheel, only a long build)")
        return
    import llama_cpp

    wheel = find(None, "chat").wheel
    assert wheel is not None
    threads = os.cpu_count() or 1
    model = llama_cpp.Llama(str(wheel_file(find(None, "chat"))), n_ctx=2048, n_threads=threads, verbose=False)

    def pieces(ids: list[int]) -> Iterator[int]:
        model.reset()
        for count, token in enumerate(model.generate(ids, temp=0.0), start=1):
            yield token
            if count == NEW_TOKENS:
                return

    made = [prompts(ASK) for _ in range(runs + 1)]
    show("llama.cpp Q4_1", [timed(lambda ids=ids: pieces(ids)) for ids in made][1:])


def our_engine(name: str, engine: Engine, prompts: Prompts, runs: int) -> None:
    """One of our engines: the question, a copy-like one with prompt lookup, a short prompt."""
    show(f"{name}: RAG question", answers(engine, lambda: prompts(ASK), NEW_TOKENS, runs))
    copies = answers(engine, lambda: prompts(COPY), NEW_TOKENS, runs, prompt_lookup=True)
    show(f"{name}: copy-like, prompt lookup", copies)
    show(f"{name}: short prompt", answers(engine, prompts.short, DECODE_TOKENS, runs))


def seen_before(engine: Engine, prompts: Prompts, runs: int) -> None:
    """The same passage again with another question behind it, and the same copy-like question again."""
    base = prompts(ASK)
    ends = [[*base[:-40], *([600 + run] * 30), *base[-10:]] for run in range(runs + 1)]
    supply = iter([base, *ends])
    show("openvino: passage seen, another question", answers(engine, lambda: next(supply), NEW_TOKENS, runs))
    copy = prompts(COPY)
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
