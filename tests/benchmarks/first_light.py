"""The figures of the first release: start-up, first token, 64 tokens, and ingest beside the plain LangChain pipeline.

Run `python -m tests.benchmarks.first_light [--articles N]`; it prints one table and asserts nothing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def median_seconds(command: list[str], runs: int) -> float:
    """The median wall time of a command that must succeed."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def page_seconds(home: Path, port: int) -> float:
    """From `hearth chat` to the page served through its one-time link."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "hearth", "chat", "--headless", "--home", str(home), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert server.stdout is not None
        link = next(found.group() for line in server.stdout if (found := re.search(r"http://\S+token=\S+", line)))
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        while time.perf_counter() - began < 120:
            try:
                with opener.open(link, timeout=5) as page:
                    if b"<html" in page.read().lower():
                        return time.perf_counter() - began
            except urllib.error.URLError:
                time.sleep(0.05)
    finally:
        server.terminate()
        server.wait()
    raise RuntimeError("the page did not come up in two minutes")


def answer_seconds(home: Path, passages: list[str], engine_name: str) -> tuple[int, float, float]:
    """(prompt tokens, seconds to the first token, seconds to 64 tokens) for a question over four passages."""
    from models import open_chat_model
    from models.engines.base import GenerationOptions
    from models.engines.choice import engine_choice
    from models.prompts import answer_messages, render

    model = open_chat_model(home=home)
    loaded = model.load()
    engine = engine_choice(loaded.folder, home, model.model, "cpu").engine(engine_name) or loaded.engine
    # A token that never comes stands for the end, so that every answer has its 64 tokens.
    options = GenerationOptions(
        max_new_tokens=64, stop_token_ids=(loaded.tokenizer.convert_tokens_to_ids("<file_sep>"),)
    )
    firsts, totals, prompt = [], [], []
    for run in range(4):
        # Another beginning each time, so that no engine has seen it before.
        messages = answer_messages(
            "What is said about the people and their work?", [f"{run}. {passages[0]}", *passages[1:]]
        )
        prompt = render(loaded.tokenizer, messages, model=model.model)
        began = time.perf_counter()
        seconds = [time.perf_counter() - began for _ in engine.stream(prompt, options, threading.Event())]
        firsts.append(seconds[0])
        totals.append(seconds[63])
    return len(prompt), statistics.median(firsts[1:]), statistics.median(totals[1:])


def articles(count: int) -> list[tuple[str, str]]:
    """The first articles of the shared SQuAD corpus as (title, text)."""
    with gzip.open(SHARED / "squad_articles" / "share.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line, _ in zip(file, range(count), strict=False)]
    return [(row["title"], row["text"]) for row in rows]


def our_ingest(home: Path, texts: Iterable[tuple[str, str]], folder: Path) -> tuple[list[str], float]:
    """Our whole ingest: split, embed, store, index; returns the chunks' texts and the seconds."""
    from models import open_embeddings
    from retrieval import Library, TextDocument

    embeddings = open_embeddings(home=home)
    embeddings.embed_query("warm")
    with Library.open(folder, embeddings) as library:
        began = time.perf_counter()
        library.add_texts(TextDocument(name, text) for name, text in texts)
        library.search("people", top_k=1)
        seconds = time.perf_counter() - began
        documents = library.documents()
        total = sum(record.chunks for record in documents)
        hits = library.search("the", top_k=total, mode="dense")
    return [hit.page_content for hit in hits], seconds


def plain_ingest(model_folder: Path, chunks: list[str]) -> float:
    """The peer: LangChain's HuggingFaceEmbeddings with its defaults into a FAISS index, the same chunks."""
    import faiss
    import numpy as np
    from langchain_huggingface import HuggingFaceEmbeddings

    peer = HuggingFaceEmbeddings(model_name=str(model_folder))
    peer.embed_query("warm")
    began = time.perf_counter()
    vectors = np.asarray(peer.embed_documents(chunks), dtype=np.float32)
    index = faiss.IndexFlatL2(vectors.shape[1])
    index.add(vectors)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--articles", type=int, default=30, help="SQuAD articles for the ingest (all: 490)")
    parser.add_argument("--port", type=int, default=8765)
    options = parser.parse_args()
    hearth = [sys.executable, "-m", "hearth"]
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        home = Path(name, "home")
        os.environ["HEARTH_HOME"] = str(home)
        rows.append(("hearth --help", f"{median_seconds([*hearth, '--help'], 7):.2f} s", "< 0.5 s"))
        began = time.perf_counter()
        subprocess.run([*hearth, "models", "prepare"], check=True, capture_output=True)
        rows.append(("models prepare, once", f"{time.perf_counter() - began:.1f} s", ""))
        page_seconds(home, options.port)
        rows.append(("page up, second start", f"{page_seconds(home, options.port):.1f} s", "< 10 s"))
        texts = articles(options.articles)
        chunks, ours = our_ingest(home, texts, Path(name, "library"))
        from models.catalog import find
        from models.prepare import folder_of

        theirs = plain_ingest(folder_of(find(None, "embed"), home), chunks)
        rows.append(("ingest", f"{len(chunks) / ours:.0f} chunks/s ({len(chunks)} chunks)", ""))
        rows.append(("HuggingFaceEmbeddings + FAISS", f"{len(chunks) / theirs:.0f} chunks/s", ""))
        rows.append(("ratio", f"{theirs / ours:.2f}", ">= 2.3"))
        passages = [" ".join(chunks[index : index + 2]) for index in range(0, 8, 2)]
        subprocess.run([*hearth, "models", "convert"], check=True, capture_output=True)
        for engine in ("torch", "openvino"):
            prompt, first, total = answer_seconds(home, passages, engine)
            rows.append((f"{engine}: first token, {prompt} prompt tokens", f"{first:.2f} s", "< 1.5 s"))
            rows.append((f"{engine}: 64 tokens", f"{total:.2f} s", "< 4 s"))
    for label, figure, wanted in rows:
        print(f"| {label} | {figure} | {wanted} |")


if __name__ == "__main__":
    main()
