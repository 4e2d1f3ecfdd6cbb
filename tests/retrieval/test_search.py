"""Search against brute force: cosine, BM25 and fusion by hand, scopes, hostile queries, and what a hit tells."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from retrieval import Library, LibraryRetriever, TextDocument
from retrieval.analysis import TermCounts
from retrieval.fusion import fuse
from retrieval.records import SearchMode
from tests.doubles import HashEmbeddings

WORDS = [f"w{number:02}x" for number in range(60)]
"""Made-up words, each its own stem and none of them common."""


def documents(count: int, seed: int) -> list[TextDocument]:
    chance = random.Random(seed)
    return [
        TextDocument(f"d{number}", " ".join(chance.choices(WORDS, k=chance.randrange(5, 40))))
        for number in range(count)
    ]


def bm25(texts: dict[str, str], query: str) -> dict[str, float]:
    """Okapi BM25 with k1 = 1.2 and b = 0.75, as in Robertson and Zaragoza 2009."""
    words = {name: text.split() for name, text in texts.items()}
    mean = sum(map(len, words.values())) / len(words)
    scores: Counter[str] = Counter()
    for term in dict.fromkeys(query.split()):
        holding = [name for name, found in words.items() if term in found]
        idf = math.log(1 + (len(words) - len(holding) + 0.5) / (len(holding) + 0.5))
        for name in holding:
            count = words[name].count(term)
            scores[name] += idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(words[name]) / mean))
    return dict(scores)


@pytest.fixture
def filled(library: Library) -> Library:
    library.add_texts(documents(150, seed=1))
    return library


@pytest.mark.parametrize("seed", range(5))
def test_dense_is_the_exact_cosine(filled: Library, embeddings: HashEmbeddings, seed: int) -> None:
    query = documents(1, seed=100 + seed)[0].text
    vector = np.array(embeddings.embed_query(query))
    cosines = {item.name: float(np.dot(vector, embeddings.embed_query(item.text))) for item in documents(150, seed=1)}
    hits = filled.search(query, top_k=20, mode="dense")
    expected = sorted(cosines.values(), reverse=True)[:20]
    assert [hit.metadata["score"] for hit in hits] == pytest.approx(expected, abs=2e-3)
    for hit in hits:
        assert hit.metadata["dense_score"] == pytest.approx(cosines[hit.metadata["document"]], abs=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_sparse_is_bm25(filled: Library, seed: int) -> None:
    query = " ".join(random.Random(seed).choices(WORDS, k=3))
    expected = bm25({item.name: item.text for item in documents(150, seed=1)}, query)
    hits = filled.search(query, top_k=100, mode="sparse")
    assert len(hits) == min(100, len(expected))
    for hit in hits:
        # tantivy keeps a text's length in one byte, so lengths above 40 tokens are rounded; these are below
        assert hit.metadata["sparse_score"] == pytest.approx(expected[hit.metadata["document"]], rel=0.02)
    scores = [hit.metadata["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_hybrid_is_half_cosine_and_half_the_share_of_the_best_bm25(filled: Library, seed: int) -> None:
    """With more candidates than passages every score is exact, so it can be worked out for each passage alone."""
    query = f"{documents(1, seed=200 + seed)[0].text} unheard"
    dense = {hit.id: hit.metadata["score"] for hit in filled.search(query, top_k=150, mode="dense")}
    sparse = {hit.id: hit.metadata["score"] for hit in filled.search(query, top_k=150, mode="sparse")}
    texts = {item.name: item.text.split() for item in documents(150, seed=1)}
    holding = [sum(term in words for words in texts.values()) for term in dict.fromkeys(query.split())]
    most = 2.2 * sum(math.log(1 + (150 - held + 0.5) / (held + 0.5)) for held in holding)
    scores = {name: 0.5 * dense[name] + 0.5 * sparse.get(name, 0.0) / most for name in dense}
    hits = filled.search(query, top_k=150)
    assert [hit.metadata["score"] for hit in hits] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
    order_of_dense, order_of_sparse = list(dense), list(sparse)
    for hit in hits:
        assert hit.metadata["score"] == pytest.approx(scores[hit.id], abs=1e-5)
        assert hit.metadata["dense_rank"] == order_of_dense.index(str(hit.id)) + 1
        found = hit.id in sparse
        assert hit.metadata["sparse_rank"] == (order_of_sparse.index(str(hit.id)) + 1 if found else None)


def test_fusion_by_hand() -> None:
    by_meaning, by_words = [(1, 0.8), (2, 0.6)], [(2, 6.0), (3, 3.0)]
    whole = fuse(by_meaning, by_words, most=12.0, asked=100)  # nothing was cut: what is not listed has nothing
    assert whole == [(2, pytest.approx(0.3 + 0.25)), (1, pytest.approx(0.4)), (3, pytest.approx(0.125))]
    cut = fuse(by_meaning, by_words, most=12.0, asked=2)  # cut: what is not listed counts as the last one that is
    assert cut == [(2, pytest.approx(0.55)), (1, pytest.approx(0.4 + 0.125)), (3, pytest.approx(0.3 + 0.125))]
    assert fuse([], [], 0.0, 100) == []
    assert fuse(by_meaning, [], 0.0, 100) == [(1, pytest.approx(0.4)), (2, pytest.approx(0.3))]


def test_fusion_of_equal_scores_begins_with_the_list_by_words() -> None:
    assert [chunk for chunk, _ in fuse([(7, 0.5), (3, 0.5)], [(9, 1.0), (3, 0.0)], most=2.0, asked=9)] == [9, 3, 7]


def test_the_most_that_bm25_can_give_is_approached_and_not_reached(library: Library) -> None:
    library.add_texts([TextDocument("a", "pear " * 2000), TextDocument("b", "plum"), TextDocument("c", "plum plum")])
    best = library.search("pear", mode="sparse")[0].metadata["score"]
    most = TermCounts(library.documents()[0].chunks + 2, {"pear": library.documents()[0].chunks}).most()
    assert 0.9 * most < best < most


def test_coverage_is_the_weighted_share_of_the_querys_words(library: Library) -> None:
    """Weights are counted as if a thousand other passages were there (1010)."""
    texts = [TextDocument(str(number), f"common word{number}") for number in range(9)]
    library.add_texts([*texts, TextDocument("rare", "common rare")])
    hit = library.search("common rare absent", top_k=1)[0]
    common, rare, absent = (math.log(1 + (1010 - n + 0.5) / (n + 0.5)) for n in (10, 1, 0))
    assert hit.metadata["document"] == "rare"
    assert hit.metadata["sparse_coverage"] == pytest.approx((common + rare) / (common + rare + absent))


def test_words_match_by_stem_case_and_accent(library: Library) -> None:
    library.add_texts([TextDocument("a", "The CAFÉ served running horses"), TextDocument("b", "nothing of the kind")])
    for query in ("cafe", "HORSE", "run"):
        assert library.search(query, mode="sparse")[0].metadata["document"] == "a"


def test_scripts_without_spaces_are_found(library: Library) -> None:
    library.add_texts([TextDocument("zh", "我能吞下玻璃而不伤身体"), TextDocument("hi", "यह एक परीक्षण है")])
    assert library.search("玻璃", mode="sparse")[0].metadata["document"] == "zh"
    assert library.search("परीक्षण", mode="sparse")[0].metadata["document"] == "hi"


@pytest.mark.parametrize(
    "query",
    [
        '" OR *', "NEAR(a b)", '"' * 10_000, "text:*", "a AND NOT (b", "\\", "id:[0 TO 9]", "+-^~:?*",
        "'; DROP TABLE documents;--", "a" * 100_000, "w01x " * 20_000, "\x00\ud800", "{{7*7}}", "😀",
    ],
)  # fmt: skip
def test_q06_no_character_of_a_query_means_anything(filled: Library, query: str) -> None:
    for mode in ("hybrid", "dense", "sparse"):
        assert isinstance(filled.search(query, mode=mode), list)  # type: ignore[arg-type]
    assert len(filled.documents()) == 150


@pytest.mark.parametrize("query", ["", " \n"])
def test_q01_an_empty_query_finds_nothing(filled: Library, query: str) -> None:
    assert filled.search(query) == []


def test_scope_is_applied_inside_the_search(library: Library) -> None:
    library.add_texts([TextDocument(f"b{number}", f"apple pie {number}") for number in range(500)], collection="big")
    library.add_texts([TextDocument("small", "an apple somewhere in other words")], collection="small")
    for mode in ("hybrid", "dense", "sparse"):
        hits = library.search("apple pie", top_k=3, mode=mode, collections=["small"])  # type: ignore[arg-type]
        assert [hit.metadata["document"] for hit in hits] == ["small"]
        assert hits[0].metadata["sparse_rank"] == 1
    assert len(library.search("apple", top_k=600)) == 501
    assert library.search("apple", collections=["unknown"]) == []
    assert library.search("apple", collections=[]) == []


@pytest.mark.parametrize("reopened", [False, True])
def test_caches_follow_every_change(library_path: Path, reopened: bool) -> None:
    """Random adds, changes, removals and moves; after each, dense and sparse must equal a fresh library's."""
    chance = random.Random(5)
    pool = documents(40, seed=9)
    library = Library.open(library_path, HashEmbeddings())
    for _ in range(40):
        item = chance.choice(pool)
        collection = chance.choice(["one", "two"])
        action = chance.random()
        held = library.documents()
        if action < 0.5 or not held:
            text = f"{item.text} w{chance.randrange(60):02}x"
            library.add_texts([TextDocument(item.name, text)], collection=collection)
        elif action < 0.75:
            library.remove([chance.choice(held).document_id])
        else:
            library.move(chance.choice(held).document_id, collection)
        if reopened:
            library.close()
            library = Library.open(library_path, HashEmbeddings())
        current = {(r.collection, r.document): library.text(r.document_id) for r in library.documents()}
        for mode in ("dense", "sparse"):
            query = item.text
            found = library.search(query, top_k=200, mode=mode, collections=[collection])  # type: ignore[arg-type]
            texts = {name: text for (where, name), text in current.items() if where == collection}
            words = set(query.split())
            expected = texts if mode == "dense" else {n: t for n, t in texts.items() if words & set(t.split())}
            assert {hit.metadata["document"]: hit.page_content for hit in found} == expected
    assert library.verify()["problems"] == []
    library.close()


def test_explain_shows_every_stage(filled: Library) -> None:
    rows = filled.explain(WORDS[3], top_k=5)
    assert len(rows) == 5
    assert {"document", "page", "start", "end", "text", "score", "dense_rank", "dense_score", "sparse_rank",
            "sparse_score", "sparse_coverage", "fused_rank", "rerank_rank"} <= set(rows[0])  # fmt: skip
    assert [row["fused_rank"] for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("mode", ["hybrid", "dense", "sparse"])
def test_a_rerankers_score_counts_beside_the_searchs_own(library_path: Path, mode: SearchMode) -> None:
    shares = {"apple pie": 1.0, "apple apple apple": 0.02, "no fruit": 0.0}

    class Given:
        def rerank(self, query: str, texts: list[str]) -> list[float]:
            return [shares[text] for text in texts]

    with Library.open(library_path, HashEmbeddings(), Given()) as library:
        library.add_texts([TextDocument(text, text) for text in shares])
        own = {hit.page_content: hit.metadata["score"] for hit in library.search("apple", mode=mode, rerank=False)}
        hits = library.search("apple", mode=mode)
    most = max(1.0, *own.values())
    expected = {text: (score / most + shares[text] / 2) / 1.5 for text, score in own.items()}
    assert {hit.page_content: hit.metadata["score"] for hit in hits} == pytest.approx(expected)
    assert [hit.page_content for hit in hits] == sorted(own, key=lambda text: -expected[text])
    assert [hit.metadata["rerank_score"] for hit in hits] == [shares[hit.page_content] for hit in hits]


def test_a_reranker_reads_the_first_twenty_and_leaves_the_rest_in_their_order(library_path: Path) -> None:
    class Backwards:
        read = 0

        def rerank(self, query: str, texts: list[str]) -> list[float]:
            self.read = len(texts)
            return [10.0 * place for place in range(len(texts))]

    reranker = Backwards()
    with Library.open(library_path, HashEmbeddings(), reranker) as library:
        library.add_texts(documents(60, seed=4))
        plain = [hit.id for hit in library.search(WORDS[1], top_k=40, rerank=False)]
        assert library.reranks
        assert reranker.read == 0
        found = library.search(WORDS[1], top_k=40)
        assert reranker.read == 20
        assert [hit.id for hit in found] == plain[19::-1] + plain[20:]
        assert [hit.metadata["rerank_rank"] for hit in found] == [*range(1, 21), *[None] * 20]
        assert [hit.metadata["fused_rank"] for hit in found] == [*range(20, 0, -1), *range(21, 41)]
        assert [row["text"] for row in library.explain(WORDS[1], top_k=3)] == [hit.page_content for hit in found[:3]]
        assert [hit.id for hit in library.search(WORDS[1], top_k=2)] == plain[19:17:-1]  # twenty are read for two, too


class TestLibraryRetriever(RetrieversIntegrationTests):
    """LangChain's own contract for retrievers."""

    @pytest.fixture(autouse=True)
    def _library(self, filled: Library) -> None:
        self.library = filled

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return LibraryRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, object]:
        return {"library": self.library}

    @property
    def retriever_query_example(self) -> str:
        return WORDS[0]

    @property
    def num_results_arg_name(self) -> str:
        return "top_k"
