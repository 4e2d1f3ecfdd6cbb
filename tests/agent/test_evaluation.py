"""Answers and rankings judged on files: the figures are those a person would compute by hand."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.errors import BadInput
from agent.evaluation import Judged, Question, evaluate_answers, read_questions, scores
from agent.retrieval_evaluation import Judgements, compared, evaluate_ranking, from_files, from_questions
from agent.settings import Settings
from models.metrics import contains_answer, exact_match, token_f1
from retrieval import Library
from tests.doubles import HashEmbeddings
from tests.doubles_model import ScriptedChatModel


@dataclass
class SmallHouse:
    """The parts that an evaluation needs, over doubles."""

    home: Path
    replies: list[str]

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.home, relevance_floor=0.2)
        self.model = ScriptedChatModel(replies=self.replies)

    def chat_model(self) -> ScriptedChatModel:
        return self.model

    def reader(self) -> None:
        """None of its own."""

    def judge(self) -> None:
        return None

    def embeddings(self) -> HashEmbeddings:
        return HashEmbeddings()

    def library(self) -> Library:
        return self.library_at(self.settings.library_path)

    reranker: Any = None

    def library_at(self, path: Path) -> Library:
        return Library.open(path, self.embeddings(), self.reranker)


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def judged(**facts: Any) -> Judged:
    plain = {
        "id": "1", "question": "q", "answers": ("a",), "answer": "a", "abstained": False, "exact": 0.0, "f1": 0.0,
        "contains": 0.0, "citations": 0, "citations_right": 0, "seconds": 1.0,
    }  # fmt: skip
    return Judged(**{**plain, **facts})


def test_answer_metrics_follow_the_squad_script() -> None:
    assert exact_match("The  Eiffel Tower!", ["eiffel tower"]) == 1.0
    assert token_f1("the red boat", ["red boat sails", "boat"]) == pytest.approx(0.8)
    assert token_f1("", ["x"]) == 0.0
    assert exact_match("x", []) == 0.0
    assert contains_answer("He sailed in 1847, they say.", ["1847"]) == 1.0
    assert contains_answer("He sailed in 18470.", ["1847"]) == 0.0


def test_scores_are_the_shares_they_say() -> None:
    table = scores(
        [
            judged(exact=1.0, f1=1.0, contains=1.0, citations=2, citations_right=1, seconds=3.0),
            judged(f1=0.5, citations=5),
            judged(abstained=True, seconds=2.0),
            judged(answers=(), abstained=True),
            judged(answers=()),
        ]
    )
    assert table == {
        "exact": 0.3333,
        "f1": 0.5,
        "contains": 0.3333,
        "citation_precision": 0.5,
        "answered": 0.6,
        "abstained_right": 0.5,
        "abstained_wrong": 0.3333,
        "n": 5,
        "median_s": 1.0,
    }


def test_a_share_of_nothing_is_none() -> None:
    table = scores([judged(answers=(), abstained=True)])
    assert (table["f1"], table["citation_precision"], table["abstained_wrong"]) == (None, None, None)


def test_questions_are_read_in_every_form_of_answers(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "q.jsonl.gz",
        {"id": 7, "question": "a?", "answers": ["x", "x", "y"]},
        {"question": "b?", "answers": {"text": ["z"], "answer_start": [3]}},
        {"id": "c", "question": "c?", "answers": [{"text": "w"}], "context": "the passage"},
        {"id": "d", "question": "d?", "answers": []},
    )
    assert read_questions(path) == [
        Question("7", "a?", ("x", "y")),
        Question("2", "b?", ("z",)),
        Question("c", "c?", ("w",), "the passage"),
        Question("d", "d?", ()),
    ]
    assert len(read_questions(path, limit=2)) == 2


@pytest.mark.parametrize("text", ["not json\n", "[1]\n", '{"id": 1, "question": "x"}\n', '{"answers": []}\n'])
def test_a_bad_questions_file_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"q\.jsonl"):
        read_questions(tmp_path / "q.jsonl")


def test_no_questions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no rows"):
        evaluate_answers(SmallHouse(tmp_path, ["x"]), [])  # type: ignore[arg-type]


def test_answers_are_judged_over_documents_and_over_a_given_passage(tmp_path: Path) -> None:
    documents = lines(
        tmp_path / "documents.jsonl.gz",
        {"title": "Varn", "text": "The lighthouse of Varn was built in 1847 by Ida Holm."},
        {"title": "Lund", "text": "The bakery in Lund opens at six."},
    )
    questions = [
        Question("a", "Who built the lighthouse of Varn?", ("Ida Holm",)),
        Question("b", "Which emperor lost at Waterloo?", ()),
        Question("c", "When does it close?", ("at noon",), "The shop opens early. It closes at noon."),
    ]
    house = SmallHouse(tmp_path / "home", ["Ida Holm.", "It closes at noon."])
    table, rows = evaluate_answers(house, questions, [documents])  # type: ignore[arg-type]
    assert [row.abstained for row in rows] == [False, True, False]
    assert (rows[0].exact, rows[0].citations, rows[0].citations_right) == (1.0, 1, 1)
    assert rows[2].contains == 1.0
    assert (table["abstained_right"], table["abstained_wrong"], table["contains"], table["n"]) == (1.0, 0.0, 1.0, 3)
    assert table["citation_precision"] == 1.0
    # the person's own library was not touched, and the same documents make the same cached one
    assert not house.settings.library_path.exists()
    evaluate_answers(house, questions[1:2], [documents])  # type: ignore[arg-type]
    assert len(list((house.home / "cache" / "evaluation").iterdir())) == 1


def test_ranking_is_judged_by_document(tmp_path: Path) -> None:
    documents = lines(
        tmp_path / "d.jsonl",
        {"doc_id": "1", "title": "Boats", "text": "red boats sail in spring"},
        {"doc_id": "2", "title": "Bread", "text": "rye bread and cinnamon buns"},
    )
    queries = lines(
        tmp_path / "q.jsonl", {"query_id": "x", "text": "rye bread"}, {"query_id": "y", "text": "red boats"}
    )
    qrels = lines(
        tmp_path / "r.jsonl",
        {"query_id": "x", "doc_id": "2", "relevance": 1},
        {"query_id": "y", "doc_id": "1", "relevance": 1},
    )
    library, judgements = from_files(SmallHouse(tmp_path / "home", []), documents, queries, qrels)  # type: ignore[arg-type]
    with library:
        table = evaluate_ranking(library, judgements)
    assert table["ndcg@10"] == 1.0
    assert table["mrr@10"] == 1.0
    assert table["n"] == 2


def test_a_judgement_without_its_columns_is_named(tmp_path: Path) -> None:
    file = lines(tmp_path / "r.jsonl", {"query_id": "x", "relevance": 1})
    with pytest.raises(BadInput, match=r"r\.jsonl, line 1 lacks doc_id"):
        from_files(SmallHouse(tmp_path / "home", []), file, file, file)  # type: ignore[arg-type]


PARAGRAPHS = [
    {"id": "a", "question": "What do red boats do?", "context": "red boats sail in spring"},
    {"id": "b", "question": "What goes with cinnamon?", "context": "rye bread and cinnamon buns"},
    {"id": "c", "question": "When do boats sail?", "context": "red boats sail in spring"},
]


def test_questions_are_judged_by_the_paragraph_they_were_asked_about(tmp_path: Path) -> None:
    house = SmallHouse(tmp_path / "home", [])
    library, judgements = from_questions(house, lines(tmp_path / "q.jsonl.gz", *PARAGRAPHS))  # type: ignore[arg-type]
    with library:
        assert len(library.documents(["evaluation"])) == 2
        table = compared(library, judgements)
        assert list(table) == ["hybrid", "dense", "sparse"]
        assert table["sparse"]["ndcg@10"] == table["sparse"]["recall@10"] == 1.0
        assert table["hybrid"]["n"] == 3
    again, _ = from_questions(house, lines(tmp_path / "again.jsonl", *PARAGRAPHS))  # type: ignore[arg-type]
    again.close()
    assert len(list((house.home / "cache" / "evaluation").iterdir())) == 1


def test_a_reranker_gets_a_row_of_its_own_and_leaves_the_others_alone(tmp_path: Path) -> None:
    class Worst:
        def rerank(self, query: str, texts: list[str]) -> list[float]:
            return [-float(sum(word in text for word in query.strip("?").split())) for text in texts]

    house = SmallHouse(tmp_path / "home", [], reranker=Worst())
    library, judgements = from_questions(house, lines(tmp_path / "q.jsonl", *PARAGRAPHS))  # type: ignore[arg-type]
    with library:
        table = compared(library, judgements)
    assert table["hybrid"]["mrr@10"] == 1.0
    assert table["reranked"]["mrr@10"] == 0.5


def test_the_same_queries_are_drawn_each_time() -> None:
    whole = Judgements({str(number): f"query {number}" for number in range(50)}, {})
    assert whole.drawn(5).queries == whole.drawn(5).queries
    assert len(whole.drawn(5).queries) == 5
    assert set(whole.drawn(5).queries.items()) <= set(whole.queries.items())
    assert whole.drawn(None) is whole.drawn(50) is whole
