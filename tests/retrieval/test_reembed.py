"""Re-embedding in place: beside the old vectors, resumable, swapped at once, never mixed."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from retrieval import Library, TextDocument
from retrieval.errors import IndexModelMismatch, ReembeddingReplaced
from retrieval.records import ReembedProgress
from retrieval.schema import FILE_NAME
from tests.doubles import HashEmbeddings


class Stopping(HashEmbeddings):
    """A model that is interrupted after so many texts."""

    def __init__(self, fingerprint: str, after: int) -> None:
        super().__init__(fingerprint, dimension=32)
        self.after = after

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if self.embedded >= self.after:
            raise KeyboardInterrupt
        return super().embed_documents(texts)


def new_model() -> HashEmbeddings:
    return HashEmbeddings("new", dimension=32)


@pytest.fixture
def filled(library: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setattr("retrieval.reembed.EMBED_BATCH", 8)
    library.add_texts([TextDocument(f"d{n}", f"word{n} shared " * (n + 1)) for n in range(40)])
    library.add_texts([TextDocument("other", "an apple elsewhere")], collection="two")
    return library


def stored_vectors(path: Path) -> dict[str, np.ndarray]:
    with sqlite3.connect(path / FILE_NAME) as database:
        rows = database.execute("SELECT c.text, v.value FROM chunks c JOIN vectors v ON v.chunk = c.id").fetchall()
    database.close()
    return {text: np.frombuffer(value, np.float16) for text, value in rows}


def test_k08_every_vector_is_made_anew_and_swapped_at_once(filled: Library, library_path: Path) -> None:
    model = new_model()
    chunks = len(filled.search("shared", top_k=1000, mode="dense"))
    seen: list[ReembedProgress] = []
    with Library.open(library_path, model) as other:
        with pytest.raises(IndexModelMismatch, match=r"hash-64.*new.*`hearth reembed`"):
            other.search("word3")
        report = other.reembed(on_progress=seen.append)
        assert (report.before, report.after, report.swapped) == ("hash-64", "new", True)
        assert (report.embedded, report.kept, report.remaining, report.longer) == (chunks, 0, 0, 0)
        assert (seen[-1].done, seen[-1].total) == (chunks, chunks)
        for text, vector in stored_vectors(library_path).items():
            assert vector == pytest.approx(model.embed_query(text), abs=1e-3)
        assert other.search("word3", mode="dense")[0].metadata["document"] == "d3"
        assert other.verify() == {"checked": chunks, "problems": [], "repaired": []}
        other.add_texts([TextDocument("later", "a later text")])
        again = other.reembed()
        assert (again.embedded, again.swapped) == (0, False)
    with pytest.raises(IndexModelMismatch):  # the old model's cache is never searched again
        filled.search("word3")


def test_the_old_model_is_searched_until_the_swap(filled: Library, library_path: Path) -> None:
    before = [hit.id for hit in filled.search("word7 shared", top_k=5, mode="dense")]
    with Library.open(library_path, Stopping("new", after=16)) as other, pytest.raises(KeyboardInterrupt):
        other.reembed()
    assert [hit.id for hit in filled.search("word7 shared", top_k=5, mode="dense")] == before
    filled.add_texts([TextDocument("during", "added during the change")])
    filled.remove(["d3"])
    assert filled.search("added during")[0].metadata["document"] == "during"
    assert filled.verify()["problems"] == []
    model = new_model()
    with Library.open(library_path, model) as other:
        report = other.reembed()
        assert report.swapped
        assert report.kept == 16 - 1  # d3's was made, then went with it
        assert model.embedded == report.embedded == len(stored_vectors(library_path)) - 15
        assert other.search("added during")[0].metadata["document"] == "during"
        assert other.verify()["problems"] == []


def test_texts_added_while_it_runs_are_embedded_too(filled: Library, library_path: Path) -> None:
    added: list[int] = []

    def add(progress: ReembedProgress) -> None:
        if len(added) < 3:
            added.append(progress.done)
            filled.add_texts([TextDocument(f"while{len(added)}", f"while number {len(added)}")])

    with Library.open(library_path, new_model()) as other:
        assert other.reembed(on_progress=add).swapped
        assert other.search("while number 3", mode="dense")[0].metadata["document"] == "while3"
        assert other.verify()["problems"] == []
    assert len(added) == 3


def test_one_collection_is_embedded_now_and_swapped_with_the_rest(filled: Library, library_path: Path) -> None:
    with Library.open(library_path, new_model()) as other:
        first = other.reembed(collection="two")
        assert (first.embedded, first.swapped) == (1, False)
        assert first.remaining == len(stored_vectors(library_path)) - 1
        assert filled.search("word3")
        second = other.reembed()
        assert (second.kept, second.embedded, second.swapped) == (1, first.remaining, True)


def test_another_model_half_way_starts_over(filled: Library, library_path: Path) -> None:
    with Library.open(library_path, Stopping("half", after=16)) as half, pytest.raises(KeyboardInterrupt):
        half.reembed()
    with Library.open(library_path, new_model()) as other:
        assert other.reembed().kept == 0
    with Library.open(library_path, Stopping("new", after=0)) as same:
        assert same.search("word3")  # the half model's vectors are gone with it
        assert same.verify()["problems"] == []


def test_a_replaced_run_ends_with_a_sentence(filled: Library, library_path: Path) -> None:
    def replace(_: ReembedProgress) -> None:
        with Library.open(library_path, HashEmbeddings("third")) as third:
            third.reembed(collection="two")

    with Library.open(library_path, new_model()) as other, pytest.raises(ReembeddingReplaced) as error:
        other.reembed(on_progress=replace)
    assert error.value.code == "reembedding_replaced"
    assert filled.search("word3")


def test_chunks_longer_than_the_new_model_reads_are_counted(library: Library, library_path: Path) -> None:
    library.add_texts([TextDocument("long", "many words " * 60), TextDocument("short", "few words")])
    with Library.open(library_path, HashEmbeddings("small", max_tokens=50)) as other:
        assert other.reembed().longer == 1


def test_k08_a_search_during_the_swap_is_of_one_model(filled: Library, library_path: Path) -> None:
    """Searchers with either model get their own model's answer or the refusal, whatever moment they come at."""
    outcomes: set[str] = set()
    stop = threading.Event()

    def search(model: HashEmbeddings) -> None:
        with Library.open(library_path, model) as mine:
            while not stop.is_set():
                try:
                    hits = mine.search("word7 shared", top_k=3, mode="dense")
                except IndexModelMismatch:
                    outcomes.add(f"{model.fingerprint} refused")
                    continue
                for hit in hits:
                    vector = np.array(model.embed_query(hit.page_content))
                    assert hit.metadata["dense_score"] == pytest.approx(
                        float(vector @ np.array(model.embed_query("word7 shared"))), abs=5e-3
                    )
                outcomes.add(f"{model.fingerprint} answered")

    models = [HashEmbeddings(), HashEmbeddings("new")]
    threads = [threading.Thread(target=search, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for _ in range(3):
        for model in ("new", "hash-64"):
            with Library.open(library_path, HashEmbeddings(model)) as other:
                assert other.reembed().swapped
    stop.set()
    for thread in threads:
        thread.join()
    assert outcomes <= {"hash-64 answered", "hash-64 refused", "new answered", "new refused"}


def test_an_emptied_library_takes_any_model(filled: Library, library_path: Path) -> None:
    filled.remove([record.document_id for record in filled.documents()])
    with Library.open(library_path, new_model()) as other:
        assert other.search("anything") == []
        other.add_texts([TextDocument("a", "red apples")])
        assert other.search("apples")[0].metadata["document"] == "a"
        assert other.verify()["problems"] == []
