"""The library as a LangChain VectorStore: LangChain's own contract, and what goes beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from retrieval import Library, LibraryVectorStore
from retrieval.errors import BadEmbedding, EmptyFile
from tests.doubles import HashEmbeddings
from tests.pdf import write_pdf


class TestLibraryVectorStore(VectorStoreIntegrationTests):
    """LangChain's own contract, sync and async."""

    @pytest.fixture
    def vectorstore(self, library_path: Path) -> Iterator[VectorStore]:
        with Library.open(library_path, self.get_embeddings()) as library:
            yield library.as_vector_store()


@pytest.fixture
def store(library: Library) -> LibraryVectorStore:
    return library.as_vector_store()


def test_a_search_gives_cosines_and_exact_metadata(store: LibraryVectorStore, embeddings: HashEmbeddings) -> None:
    texts = [f"red apples number {n}" for n in range(20)]
    ids = store.add_texts(texts, [{"n": n, "even": n % 2 == 0} for n in range(20)])
    found = store.similarity_search_with_score("red apples 7", k=20)
    query = np.array(embeddings.embed_query("red apples 7"))
    for document, score in found:
        assert score == pytest.approx(float(query @ embeddings.embed_query(document.page_content)), abs=2e-3)
        assert document.metadata == {"n": ids.index(document.id or ""), "even": document.metadata["n"] % 2 == 0}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    even = store.similarity_search("apples", k=50, filter={"even": True})
    assert {document.metadata["n"] for document in even} == set(range(0, 20, 2))
    near = store.similarity_search_by_vector(embeddings.embed_query(texts[3]), k=1)
    assert near[0].page_content == texts[3]
    for _, relevance in store.similarity_search_with_relevance_scores("apples", k=3):
        assert 0 <= relevance <= 1


def test_mmr_leaves_out_what_was_said_already(store: LibraryVectorStore) -> None:
    store.add_texts(["red apples", "red apples .", "red apples !", "green pears"])
    found = store.max_marginal_relevance_search("red apples and pears", k=2, lambda_mult=0.1)
    assert {document.page_content.split()[1] for document in found} == {"apples", "pears"}


def test_files_of_the_library_are_found_with_their_place(
    library: Library, store: LibraryVectorStore, folder: Path
) -> None:
    library.add([write_pdf(folder / "a.pdf", ["about apples", "about pears"])], metadata={"year": 2020})
    found = store.similarity_search("pears", k=1)[0]
    assert (found.metadata["document"], found.metadata["page"], found.metadata["year"]) == ("a.pdf", 2, 2020)


def test_a_long_text_is_found_by_passage_and_kept_whole(store: LibraryVectorStore) -> None:
    text = " ".join(f"Sentence {n} speaks of topic{n}." for n in range(300)) + " " + "Zebras graze. " * 30
    store.add_texts([text], [{"a": 1}], ids=["long"])
    found = store.similarity_search("zebras graze", k=1)[0]
    assert (found.id, found.metadata) == ("long", {"a": 1})
    assert "Zebras" in found.page_content
    assert len(found.page_content) < len(text) / 2
    assert store.get_by_ids(["long"]) == [Document(id="long", page_content=text, metadata={"a": 1})]
    assert store.delete(["long"])
    assert store.similarity_search("zebras") == []


def test_collections_are_apart(library: Library) -> None:
    one, two = library.as_vector_store("one"), library.as_vector_store("two")
    one.add_texts(["red apples"], ids=["1"])
    two.add_texts(["red pears"], ids=["1"])
    assert [document.page_content for document in one.similarity_search("red")] == ["red apples"]
    assert two.delete()
    assert two.similarity_search("red") == []
    assert one.get_by_ids(["1"])[0].page_content == "red apples"


def test_wrong_input_is_named(store: LibraryVectorStore) -> None:
    with pytest.raises(ValueError, match="2 texts"):
        store.add_texts(["a", "b"], ids=["1"])
    with pytest.raises(EmptyFile):
        store.add_texts(["fine", "  "], ids=["1", "2"])
    assert [document.id for document in store.get_by_ids(["1", "2"])] == ["1"]
    with pytest.raises(BadEmbedding):
        store.similarity_search_by_vector([0.1, 0.2])


def test_from_texts_opens_a_folder(library_path: Path) -> None:
    store = LibraryVectorStore.from_texts(["red apples"], HashEmbeddings(), [{"n": 1}], path=library_path, ids=["x"])
    assert store.similarity_search("apples")[0].id == "x"
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("apples")[0].metadata == {"n": 1}
    store.library.close()
