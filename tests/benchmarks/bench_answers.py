"""Correct answers beside those of the plain LangChain tutorial chain: the same models, documents and questions.

The peer splits into 1,000 characters with 200 shared, embeds with HuggingFaceEmbeddings into FAISS, shows the nearest
four and asks a transformers pipeline, all with their defaults. Run `python -m tests.benchmarks.bench_answers
[--questions N] [--articles N] [--home DIR]`; about five seconds a question on two cores, most of them the peer's.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from models.metrics import contains_answer, token_f1

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
_PROMPT = (
    "Answer the question with the help of these pieces of retrieved context. If you do not know the answer, say so. "
    "Use at most three sentences.\n\nContext:\n{context}\n\nQuestion: {question}"
)
_NEW_TOKENS = 96


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a gzipped JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def tutorial_chain(home: Path, texts: list[tuple[str, str]]) -> Callable[[str], str]:
    """The chain of LangChain's tutorial over `texts`, (title, text) pairs."""
    from langchain_community.vectorstores import FAISS
    from langchain_core.documents import Document
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnablePassthrough
    from langchain_huggingface import ChatHuggingFace, HuggingFaceEmbeddings, HuggingFacePipeline
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    from models.catalog import find
    from models.prepare import folder_of

    encoder, chat = (str(folder_of(find(None, role), home)) for role in ("embed", "chat"))
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    pieces = splitter.split_documents([Document(text, metadata={"title": title}) for title, text in texts])
    store = FAISS.from_documents(pieces, HuggingFaceEmbeddings(model_name=encoder))
    tokenizer = AutoTokenizer.from_pretrained(chat)
    generate = pipeline(
        "text-generation",
        model=AutoModelForCausalLM.from_pretrained(chat),
        tokenizer=tokenizer,
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        return_full_text=False,
    )
    model = ChatHuggingFace(llm=HuggingFacePipeline(pipeline=generate), tokenizer=tokenizer)

    def joined(found: list[Document]) -> str:
        return "\n\n".join(document.page_content for document in found)

    prompt = ChatPromptTemplate.from_messages([("user", _PROMPT)])
    steps = {"context": store.as_retriever() | joined, "question": RunnablePassthrough()}
    chain = steps | prompt | model | StrOutputParser()
    return lambda question: str(chain.invoke(question))


def main() -> None:
    """Measure both and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=100, help="questions, drawn with seed 0")
    parser.add_argument("--articles", type=int, default=490, help="articles ingested, the questions' own among them")
    parser.add_argument("--home", type=Path, help="a data home to take prepared models from and to keep the library in")
    options = parser.parse_args()
    asked = random.Random(0).sample(rows(SHARED / "squad11_dev" / "share.jsonl.gz"), options.questions)
    wanted = {row["title"] for row in asked}
    articles = rows(SHARED / "squad_articles" / "share.jsonl.gz")
    articles.sort(key=lambda row: row["title"] not in wanted)
    texts = [(row["title"], row["text"]) for row in articles[: max(options.articles, len(wanted))]]
    with ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hearth-bench-")))
        from agent import Assistant
        from retrieval import TextDocument

        assistant = stack.enter_context(Assistant.open(home=home, collection="bench-answers"))
        assistant.library.add_texts((TextDocument(*pair) for pair in texts), collection="bench-answers")
        answer: dict[str, Callable[[str], str]] = {
            "Hearth": lambda question: assistant.ask(question, tool="search").text,
            "LangChain tutorial chain": tutorial_chain(home, texts),
        }
        print(f"{len(texts)} articles, {len(asked)} questions\n\n| | contains | F1 | median s |\n|---|---|---|---|")
        held = []
        for name, ask in answer.items():
            marks = [_marked(ask, row) for row in asked]
            contains, f1, seconds = zip(*marks, strict=True)
            held.append(statistics.fmean(contains))
            middle = statistics.median(seconds)
            print(f"| {name} | {held[-1]:.3f} | {statistics.fmean(f1):.3f} | {middle:.2f} |", flush=True)
        print(f"\ncorrect answers, ratio: {held[0] / held[1]:.2f}" if held[1] else "\nthe peer answered none")


def _marked(ask: Callable[[str], str], row: dict[str, Any]) -> tuple[float, float, float]:
    """(contains an accepted answer, token F1, seconds) of one answer."""
    began = time.perf_counter()
    said = ask(row["question"])
    seconds = time.perf_counter() - began
    accepted = row["answers"]["text"]
    return float(contains_answer(said, accepted)), token_f1(said, accepted), seconds


if __name__ == "__main__":
    main()
