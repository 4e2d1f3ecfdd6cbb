"""Large collections: a compressed index must find what looking at every vector finds, and follow every change.

The limit is lowered, so that a few thousand passages are a large collection.
"""

from __future__ import annotations

import functools
import random
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

from retrieval import Library, TextDocument, compressed, dense_files
from retrieval.compressed import CompressedVectors, list_count, pieces
from retrieval.exact import ExactVectors
from retrieval.store import Store

DIMENSION, CENTRES = 48, 40


class Clustered(Embeddings):
    """Unit vectors around a few centres; a text's number chooses its own, the same each time."""

    fingerprint, dimension, max_tokens = "clustered", DIMENSION, 64

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._centres = np.random.default_rng(seed).standard_normal((CENTRES, DIMENSION))

    @functools.cache  # noqa: B019  a test's few thousand vectors
    def vector(self, number: int) -> NDArray[np.float32]:
        own = np.random.default_rng((self._seed, number))
        row = self._centres[number % CENTRES] + 0.7 * own.standard_normal(DIMENSION)
        return (row / np.linalg.norm(row)).astype(np.float32)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.vector(int(text.split()[-1])).tolist()


GUEST = Clustered()


def texts(numbers: range) -> list[TextDocument]:
    return [TextDocument(f"d{number}", f"passage {number}") for number in numbers]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(dense_files, "EXACT_CHUNKS", 500)
    return 500


@pytest.fixture
def few_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search four lists of 32, in place of all that there are in so small an index."""
    monkeypatch.setattr(compressed, "_LISTS_SEARCHED", 4)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of 1,500 passages with its compressed index."""
    folder = tmp_path_factory.mktemp("large") / "library"
    with pytest.MonkeyPatch.context() as patch, Library.open(folder, GUEST) as library:
        patch.setattr(dense_files, "EXACT_CHUNKS", 500)
        library.add_texts(texts(range(1500)))
    return folder


@pytest.fixture
def large(library_path: Path, filled: Path, limit: int) -> Iterator[Library]:
    shutil.copytree(filled, library_path)
    with Library.open(library_path, GUEST) as library:
        yield library


def sets(library: Library) -> dict[str, Any]:
    """The vector sets in memory, after a search."""
    dense: Any = library._engine._finder._vectors()  # type: ignore[attr-defined]
    if dense._builder is not None:
        dense._builder.join()
    return dense._sets  # type: ignore[no-any-return]


def found(library: Library, query: str, top_k: int, **scope: Any) -> list[tuple[int, float]]:
    hits = library.search(query, top_k=top_k, mode="dense", **scope)
    return [(int(hit.page_content.split()[-1]), hit.metadata["score"]) for hit in hits]


def nearest(numbers: list[int], query: int) -> list[tuple[int, float]]:
    """By looking at every vector."""
    scores = [(number, float(GUEST.vector(number) @ GUEST.vector(query))) for number in numbers]
    return sorted(scores, key=lambda hit: -hit[1])


@pytest.mark.usefixtures("few_lists")
def test_recall_against_every_vector_looked_at(large: Library) -> None:
    """At least 0.95 of the ten nearest are found, and each score is the exact cosine."""
    right = 0
    for query in range(100_000, 100_060):
        expected = nearest(list(range(1500)), query)
        hits = found(large, f"passage {query}", 10)
        exact = dict(expected)
        assert all(score == pytest.approx(exact[number], abs=2e-3) for number, score in hits)
        right += len({number for number, _ in hits} & {number for number, _ in expected[:10]})
    assert right / 600 >= 0.95
    assert isinstance(sets(large)["default"], CompressedVectors)


def test_a_small_collection_stays_exact(large: Library) -> None:
    large.add_texts(texts(range(50)), collection="small")
    large.search("passage 1")
    assert isinstance(sets(large)["small"], ExactVectors)


@pytest.mark.usefixtures("few_lists")
@pytest.mark.parametrize("share", [0.004, 0.05, 0.5])
def test_a_filter_holds_inside_the_search(large: Library, share: float) -> None:
    allowed = random.Random(1).sample(range(1500), int(share * 1500))
    for query in range(100_000, 100_010):
        expected = [number for number, _ in nearest(allowed, query)[:5]]
        hits = found(large, f"passage {query}", 5, where={"document": [f"d{number}" for number in allowed]})
        assert len({number for number, _ in hits} & set(expected)) >= 4
        assert len(hits) == 5
        assert {number for number, _ in hits} <= set(allowed)


@pytest.mark.usefixtures("few_lists")
def test_a_filter_that_mostly_allows_other_collections(large: Library) -> None:
    large.add_texts(texts(range(1500, 3000)), collection="other")
    where = {"document": ["d7", *(f"d{number}" for number in range(1500, 3000))]}
    assert [number for number, _ in found(large, "passage 100001", 5, collections=["default"], where=where)] == [7]


@pytest.mark.parametrize("reopened", [False, True])
def test_it_follows_every_change(large: Library, library_path: Path, reopened: bool) -> None:
    """Random additions, removals, replacements and moves; all that is there is found after each, and nothing else."""
    chance = random.Random(2)
    there = {f"d{number}": number for number in range(1500)}
    library = large
    for step in range(4):
        for name in chance.sample(sorted(there), 5):
            record = library.find(name, "default")[0]
            if chance.random() < 0.5:
                library.remove([record.document_id])
            else:
                library.move(record.document_id, "aside")
            del there[name]
        new = {f"d{number}": number for number in range(10_000 + 20 * step, 10_020 + 20 * step)}
        name = chance.choice(sorted(there))
        new[name] = 50_000 + step
        library.add_texts([TextDocument(name, f"passage {number}") for name, number in new.items()])
        there.update(new)
        if reopened:
            library.close()
            library = Library.open(library_path, GUEST)
        hits = found(library, f"passage {chance.choice(sorted(there.values()))}", 4000, collections=["default"])
        assert sorted(number for number, _ in hits) == sorted(there.values())
        assert isinstance(sets(library)["default"], CompressedVectors)
    assert library.verify()["problems"] == []
    library.close()


def test_it_is_opened_and_not_built_again(large: Library, library_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = found(large, "passage 5", 20)
    large.close()
    monkeypatch.setattr(CompressedVectors, "build", lambda *_: pytest.fail("it was built again"))
    with Library.open(library_path, GUEST) as library:
        library.remove([library.find("d6")[0].document_id])
        assert found(library, "passage 5", 20)[0] == expected[0]
        assert len(sets(library)["default"]) == 1499


def test_searches_go_on_while_it_is_built(library_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact until the index is ready; what was added and removed meanwhile is right afterwards."""
    may_end, build = threading.Event(), CompressedVectors.build

    def slow(*arguments: Any) -> CompressedVectors | None:
        built = build(*arguments)
        assert may_end.wait(20)
        return built

    with Library.open(library_path, GUEST) as library:
        library.add_texts(texts(range(limit)))
        library.search("passage 1")
        monkeypatch.setattr(CompressedVectors, "build", slow)
        monkeypatch.setattr(dense_files, "stale", lambda _: False)
        monkeypatch.setattr("retrieval.caches.stale", lambda _: False)
        library.add_texts(texts(range(limit, limit + 100)))
        assert len(found(library, "passage 1", 2000)) == limit + 100
        library.remove([library.find("d3")[0].document_id])
        library.add_texts(texts(range(5000, 5001)))
        assert len(found(library, "passage 1", 2000)) == limit + 100
        engine: Any = library._engine
        assert isinstance(engine._finder._vectors()._sets["default"], ExactVectors)
        may_end.set()
        assert isinstance(sets(library)["default"], CompressedVectors)
        numbers = {number for number, _ in found(library, "passage 1", 2000)}
        assert numbers == ({*range(limit + 100), 5000} - {3})


@pytest.mark.parametrize("damage", ["byte", "cut", "gone", "stamp"])
def test_a_damaged_file_is_never_used(large: Library, library_path: Path, damage: str) -> None:
    """Searches are right whatever became of the cache; verify names the damage and repair builds it again (K)."""
    expected = found(large, "passage 5", 20)
    large.close()
    folder = library_path / dense_files.FOLDER
    file = next(folder.glob("*.faiss"))
    data = bytearray(file.read_bytes())
    if damage == "byte":
        data[len(data) // 2] ^= 4
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[:-100])
    elif damage == "gone":
        file.unlink()
    else:
        (folder / "stamp.json").write_text("{")
    with Library.open(library_path, GUEST) as library:
        assert len(library.verify()["problems"]) == 1
        assert [number for number, _ in found(library, "passage 5", 20)] == [number for number, _ in expected]
        library.verify(repair=True)
        assert library.verify()["problems"] == []
    assert next(folder.glob("*.faiss")).stat().st_size == len(data)


def test_vectors_of_another_model_are_never_searched(large: Library, library_path: Path) -> None:
    """Re-embedding makes the file one of another history (K)."""
    large.close()
    other = Clustered(seed=9)
    other.fingerprint = "another"  # type: ignore[misc]
    with Library.open(library_path, other) as library:
        library.reembed()
        hits = library.search("passage 17", top_k=1, mode="dense")
        assert hits[0].metadata["document"] == "d17"
        assert hits[0].metadata["score"] == pytest.approx(1.0, abs=2e-3)
        assert library.verify()["problems"] == []


def test_a_folder_that_cannot_be_written_is_searched_all_the_same(
    large: Library, library_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large.close()
    file = next((library_path / dense_files.FOLDER).glob("*.faiss"))
    file.unlink()
    monkeypatch.setattr("os.access", lambda *_: False)
    with Library.open(library_path, GUEST) as library:
        assert len(found(library, "passage 5", 20)) == 20
        assert isinstance(sets(library)["default"], CompressedVectors)
    assert not file.exists()


def test_lists_and_pieces() -> None:
    assert [list_count(total) for total in (1, 1000, 200_000, 1_000_000, 10_000_000)] == [4, 32, 512, 1024, 4096]
    assert pieces([(1, 3), (4, 9), (11, 12)], 100) == [(1, 9), (11, 12)]
    assert pieces([(1, 10)], 4) == [(1, 4), (5, 8), (9, 10)]
    assert pieces([], 4) == []


def test_the_store_gives_vectors_of_what_is_there(large: Library, library_path: Path) -> None:
    store = Store(library_path)
    ids, vectors = store.vectors_of(np.array([30, 2, 10**9]))
    assert ids.tolist() == [2, 30]
    assert vectors[1] == pytest.approx(store.chunk_vectors(30, 30)[1][0])
    assert len(store.vectors_of(np.zeros(0, np.int64))[0]) == 0
    store.close()
