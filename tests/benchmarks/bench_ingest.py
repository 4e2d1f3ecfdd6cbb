"""Files on disk into an index that answers: Hearth beside LangChain's default pipeline and txtai, in turn in one run.

The files are SQuAD articles as text, Markdown, web pages, PDF and Word. Every pipeline lists, parses, splits, embeds
and indexes them from nothing in each round, its models loaded before. LangChain: DirectoryLoader with TextLoader,
BSHTMLLoader, PyPDFLoader and Docx2txtLoader, RecursiveCharacterTextSplitter, HuggingFaceEmbeddings, FAISS. txtai gets
LangChain's chunks (its own text extraction wants a Java server or more models), so its parsing is counted too.

Run `python -m tests.benchmarks.bench_ingest [--files N] [--rounds N] [--home FOLDER]`; three minutes a round on two
quiet cores. The peers are in the extra `bench`.
"""

from __future__ import annotations

import argparse
import html
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models import data_home
from models.catalog import find
from models.device import choose_device
from models.embeddings import LocalEmbeddings
from models.engines.openvino_convert import convert
from models.prepare import folder_of
from retrieval import Library
from tests.benchmarks.first_light import articles
from tests.pdf import write_pdf
from tests.retrieval.formats.files import docx, paragraph

KINDS = ("txt", "md", "html", "pdf", "docx")
CHARACTERS = (1_000, 12_000)
"""Least and most characters of a file."""
CHUNK_CHARACTERS, OVERLAP_CHARACTERS = 900, 135
"""LangChain's chunk: as long, at the mean, as Hearth's of 200 tokens; the same share of it repeated."""


@dataclass
class Pipeline:
    """One way from files to an index: `run` gives the texts of the chunks it made."""

    name: str
    run: Callable[[Path], list[str]]
    rates: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    chunks: list[str] = field(default_factory=list)


def write_files(folder: Path, count: int) -> int:
    """Writes the files, kinds in turn, each a part of an article; gives their characters."""
    draw, texts = random.Random(0), articles(10**6)
    characters = 0
    for number in range(count):
        title, text = texts[number % len(texts)]
        start = draw.randrange(max(1, len(text) - CHARACTERS[0]))
        part = text[start : start + draw.randint(*CHARACTERS)]
        characters += len(part)
        write_file(folder / f"{number:04} {KINDS[number % len(KINDS)]}", title, part.split("\n"))
    return characters


def write_file(path: Path, title: str, paragraphs: list[str]) -> None:
    """Writes one file; its kind is the last word of its name."""
    kind = path.name.rpartition(" ")[2]
    path = path.with_name(f"{path.name}.{kind}")
    if kind == "pdf":
        lines = "\n".join(paragraphs)
        write_pdf(path, [lines[at : at + 3000] for at in range(0, len(lines), 3000)])
    elif kind == "docx":
        body = paragraph(title, "Heading1") + "".join(paragraph(html.escape(one)) for one in paragraphs)
        path.write_bytes(docx(body))
    elif kind == "html":
        body = "".join(f"<p>{html.escape(one)}</p>" for one in paragraphs)
        page = f"<html><head><title>{title}</title></head><body><article><h1>{title}</h1>{body}</article></body></html>"
        path.write_text(page, encoding="utf-8")
    else:
        head = f"# {title}\n\n" if kind == "md" else ""
        path.write_text(head + "\n\n".join(paragraphs), encoding="utf-8")


def hearth(model: LocalEmbeddings, work: Path) -> Pipeline:
    """Hearth with its defaults."""

    def run(folder: Path) -> list[str]:
        with tempfile.TemporaryDirectory(dir=work) as place, Library.open(Path(place), model) as library:
            began = time.perf_counter()
            report = library.add([folder])
            library.search("people", top_k=1)
            run.seconds = time.perf_counter() - began  # type: ignore[attr-defined]
            assert not report.failed
            return [row[0] for row in library.rows("SELECT text FROM chunks ORDER BY id")]

    return Pipeline("Hearth", run)


def langchain_chunks(folder: Path) -> list[str]:
    """The files through LangChain's loaders and splitter."""
    from langchain_community.document_loaders import (
        BSHTMLLoader,
        DirectoryLoader,
        Docx2txtLoader,
        PyPDFLoader,
        TextLoader,
    )
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    loaders = {"txt": TextLoader, "md": TextLoader, "html": BSHTMLLoader, "pdf": PyPDFLoader, "docx": Docx2txtLoader}
    documents = [
        document
        for kind, loader in loaders.items()
        for document in DirectoryLoader(str(folder), glob=f"**/*.{kind}", loader_cls=loader).load()  # type: ignore[arg-type]
    ]
    splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=OVERLAP_CHARACTERS)
    return [document.page_content for document in splitter.split_documents(documents)]


def peers(model_folder: Path) -> Iterator[Pipeline]:
    """What else a Python user would take, with its defaults."""
    import txtai
    from langchain_community.vectorstores import FAISS
    from langchain_huggingface import HuggingFaceEmbeddings

    plain = HuggingFaceEmbeddings(model_name=str(model_folder))
    plain.embed_query("warm")

    def langchain(folder: Path) -> list[str]:
        chunks = langchain_chunks(folder)
        FAISS.from_texts(chunks, plain).similarity_search("people", k=1)
        return chunks

    index = txtai.Embeddings(path=str(model_folder), content=True)

    def with_txtai(folder: Path) -> list[str]:
        chunks = langchain_chunks(folder)
        index.index(chunks)
        index.search("people", 1)
        return chunks

    yield Pipeline("LangChain", langchain)
    yield Pipeline("txtai", with_txtai)


def cpu_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(pipeline: Pipeline, folder: Path) -> None:
    """One round."""
    used, began = cpu_seconds(), time.perf_counter()
    chunks = pipeline.run(folder)
    seconds: Any = getattr(pipeline.run, "seconds", time.perf_counter() - began)
    pipeline.rates.append(len(chunks) / seconds)
    pipeline.cpu_seconds.append(cpu_seconds() - used)
    pipeline.chunks = chunks


def main() -> None:
    """Write the files, measure in rounds, print medians; ratios are medians of the rounds' own ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--alone", action="store_true", help="Hearth without its peers")
    options = parser.parse_args()
    home = data_home(options.home)
    entry = find(None, "embed")
    model_folder = folder_of(entry, home)
    convert(model_folder, home, name=entry.name, form="vectors")
    import torch

    torch.set_num_threads(choose_device().threads)
    model = LocalEmbeddings(home=home)
    model.embed_query("warm")
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as work:
        folder = Path(work, "files")
        folder.mkdir()
        characters = write_files(folder, options.files)
        pipelines = [hearth(model, Path(work)), *(() if options.alone else peers(model_folder))]
        for round_number in range(options.rounds):
            for pipeline in pipelines:
                measure(pipeline, folder)
                print(f"round {round_number + 1}: {pipeline.name} {pipeline.rates[-1]:.1f} chunks/s", flush=True)
    ours = pipelines[0]
    print(f"\n{options.files} files, {characters} characters, {options.rounds} rounds\n")
    print("| | chunks | characters each | chunks/s | Hearth is faster | CPU seconds |\n|---|---|---|---|---|---|")
    for one in pipelines:
        times = statistics.median(own / rate for own, rate in zip(ours.rates, one.rates, strict=True))
        mean, rate = np.mean([len(chunk) for chunk in one.chunks]), statistics.median(one.rates)
        cpu = statistics.median(one.cpu_seconds)
        print(f"| {one.name} | {len(one.chunks)} | {mean:.0f} | {rate:.1f} | {times:.2f} times | {cpu:.1f} |")


if __name__ == "__main__":
    main()
