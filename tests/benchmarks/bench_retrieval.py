"""How well search finds: words alone, meaning alone and both, on Cranfield, Vaswani and the shared SQuAD paragraphs.

Run `python -m tests.benchmarks.bench_retrieval [--home FOLDER] [--limit N]`; about fifteen minutes of two cores,
most of it for SQuAD's 7,054 questions in three modes. It prints one table and keeps the libraries in the home's cache.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from agent.assembly import House
from agent.retrieval_evaluation import compared, from_files, from_questions
from agent.settings import load_settings
from models.prepare import prepare_embedded
from tests.benchmarks.first_light import SHARED

COLUMNS = ("ndcg@10", "recall@10", "mrr@10")
NAMES = {"sparse": "words (BM25)", "dense": "meaning (MiniLM)", "hybrid": "both", "reranked": "both, reranked"}


def measured(house: House, name: str, limit: int | None) -> dict[str, dict[str, Any]]:
    """The scores of every mode on one of the shared sets."""
    if name == "squad11_dev":
        library, judgements = from_questions(house, SHARED / name / "share.jsonl.gz")
    else:
        documents, queries, qrels = (SHARED / name / f"{part}.jsonl.gz" for part in ("docs", "queries", "qrels"))
        library, judgements = from_files(house, documents, queries, qrels)
    try:
        return compared(library, judgements.drawn(limit))
    finally:
        library.close()


def main() -> None:
    """One table for all sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="a data folder whose models are used (the default one)")
    parser.add_argument("--limit", type=int, help="only so many queries of each set, drawn (all)")
    options = parser.parse_args()
    print(f"| set | queries | search | {' | '.join(COLUMNS)} | ms a query |")
    print(f"|---|---|---|{'---|' * len(COLUMNS)}---|")
    with House(load_settings({"home": options.home})) as house:
        prepare_embedded(house.home)
        for name in ("cranfield", "vaswani", "squad11_dev"):
            table = measured(house, name, options.limit)
            for mode in (mode for mode in NAMES if mode in table):
                found = " | ".join(f"{table[mode][column]:.4f}" for column in COLUMNS)
                milliseconds = table[mode]["ms_per_query"]
                print(f"| {name} | {table[mode]['n']} | {NAMES[mode]} | {found} | {milliseconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
