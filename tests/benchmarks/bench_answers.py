"""Correct answers beside those of the plain LangChain tutorial chain: the same models, documents and questions.

The peer splits into 1,000 characters with 200 shared, embeds with HuggingFaceEmbeddings into FAISS, shows the nearest
four and asks a transformers pipeline, all with their defaults. Asked is only about articles whose questions the reader
that comes with Hearth was not trained on (its recipe's test part). A home keeps what both made of the articles, which
takes a quarter of an hour for all of them on one core and a minute for 40; after that it is about five seconds a
question, most of them the peer's. Run `python -m tests.benchmarks.bench_answers [--questions N] [--articles N] [--home
DIR]`.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from agent import Assistant
from agent.assembly import House
from agent.evaluation import COLLECTION, evaluation_library
from agent.settings import load_settings
from models.metrics import contains_answer, token_f1
from tests.benchmarks.shared_sets import Row, accepted, drawn, interval, rows, write_lines
from training.data import part_of_group
from training.recipe import load_recipe

_PROMPT = (
    "Answer the question with the help of these pieces of retrieved context. If you do not know the answer, say so. "
    "Use at most three sentences.\n\nContext:\n{context}\n\nQuestion: {question}"
)
_NEW_TOKENS = 96


def tutorial_chain(home: Path, articles: list[Row]) -> Callable[[str], str]:
    """The chain of LangChain's tutorial over articles of a title and a text; its vectors are kept in the home."""
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
    embeddings = HuggingFaceEmbeddings(model_name=encoder)
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    documents = [Document(row["text"], metadata={"title": row["title"]}) for row in articles]
    pieces = [document.page_content for document in splitter.split_documents(documents)]
    vectors = _kept(home / "cache" / "benchmark-peer", pieces, embeddings.embed_documents)
    store = FAISS.from_embeddings(list(zip(pieces, vectors, strict=True)), embeddings)
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


def _kept(folder: Path, pieces: list[str], embed: Callable[[list[str]], list[list[float]]]) -> list[list[float]]:
    """The vectors of texts, made once."""
    file = folder / f"{hashlib.sha256(' '.join(pieces).encode()).hexdigest()[:24]}.npy"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(file, np.array(embed(pieces), np.float32))
    vectors: list[list[float]] = np.load(file).tolist()
    return vectors


def main() -> None:
    """Measure both and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100, help="questions, drawn with seed 0")
    parser.add_argument(
        "--articles", type=int, default=474, help="articles, those that the questions are on among them"
    )
    parser.add_argument(
        "--home", type=Path, help="a data home with prepared models; keeps what is made of the articles"
    )
    options = parser.parse_args()
    recipe = load_recipe("answers")  # the reader that comes with Hearth has learned the questions of other articles
    unseen = [row for row in rows("squad11_dev") if part_of_group(recipe, row["title"]) == "test"]
    asked = drawn(unseen, options.questions)
    wanted = {row["title"] for row in asked}
    articles = sorted(rows("squad_articles"), key=lambda row: (row["title"] not in wanted, row["title"]))
    articles = articles[: max(options.articles, len(wanted))]
    with ExitStack() as stack:
        home = options.home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hearth-bench-")))
        house = stack.enter_context(House(load_settings({"home": str(home)})))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hearth-bench-")))
        library = evaluation_library(house, [write_lines(folder / "articles.jsonl", articles)])
        assistant = Assistant(
            house.chat_model(), stack.enter_context(library), house.settings, judge=house.judge, reader=house.reader
        )
        answer: dict[str, Callable[[str], str]] = {
            "Hearth": lambda question: assistant.ask(question, tool="search", collection=COLLECTION).text,
            "LangChain tutorial chain": tutorial_chain(home, articles),
        }
        print(f"{len(articles)} articles, {len(asked)} questions\n")
        print("| | contains an accepted answer (95 %) | F1 | median s |\n|---|---|---|---|")
        held = []
        for name, ask in answer.items():
            contains, f1, seconds = zip(*(_marked(ask, row) for row in asked), strict=True)
            held.append(sum(contains))
            shown = f"{interval(held[-1], len(asked))} | {statistics.fmean(f1):.3f} | {statistics.median(seconds):.2f}"
            print(f"| {name} | {shown} |", flush=True)
        print(f"\ncorrect answers, ratio: {held[0] / held[1]:.2f}" if held[1] else "\nthe peer answered none")


def _marked(ask: Callable[[str], str], row: Row) -> tuple[bool, float, float]:
    """(contains an accepted answer, token F1, seconds) of one answer."""
    began = time.perf_counter()
    said = ask(row["question"])
    seconds = time.perf_counter() - began
    return contains_answer(said, accepted(row)) > 0, token_f1(said, accepted(row)), seconds


if __name__ == "__main__":
    main()
