"""Embeddings and rerankers: losses by hand, negatives mined exactly, what is right never counted wrong, and serving."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from models.embeddings import LocalEmbeddings
from models.tasks.reranker import Reranker
from tests.models.conftest import save_tiny_encoder
from tests.training.tiny import tiny_recipe
from training.errors import RecipeError
from training.feed import tokens_in
from training.learner import make_learner
from training.mining import by_vectors, by_words, hard_negatives, places
from training.run import run
from training.tasks import open_task
from training.tasks.late_reranking import LateReranking, keywords_of, queries_of
from training.tasks.reranking import Reranking
from training.tasks.sentence_embeddings import SentenceEmbeddings
from training.tasks.sentence_similarity import SentenceSimilarity

POOL = ["the quick brown fox", "a lazy dog and a fox", "passages have numbers", "numbers numbers have names"]


def test_bm25_by_hand() -> None:
    search = by_words(POOL)
    k1, b, lengths = 0.9, 0.4, [4, 6, 3, 4]
    documents = [Counter(text.split()) for text in POOL]

    def score(query: str, at: int) -> float:
        total = 0.0
        for word in set(query.split()):
            found = sum(word in own for own in documents)
            often = documents[at][word]
            rarity = math.log(1 + (4 - found + 0.5) / (found + 0.5))
            total += rarity * often * (k1 + 1) / (often + k1 * (1 - b + b * lengths[at] / 4.25))
        return total

    queries = ["fox numbers unknown", "lazy lazy dog"]
    expected = [[score(query, at) for at in range(4)] for query in queries]
    assert search(queries) == pytest.approx(np.array(expected))


def test_hard_negatives_equal_the_brute_force() -> None:
    draw = random.Random(1)
    scores = {f"q{row}": [draw.choice([0.0, draw.random()]) for _ in range(12)] for row in range(300)}
    own = [{draw.randrange(12)} for _ in scores]
    for near in (None, 0.5):
        found = hard_negatives(lambda part: np.array([scores[one] for one in part]), list(scores), own, 4, near=near)
        for row, (values, mine) in enumerate(zip(scores.values(), own, strict=True)):
            limit = math.inf if near is None else near * max(values[at] for at in mine)
            left = [at for at in range(12) if at not in mine and 0 < values[at] <= limit]
            assert found[row] == sorted(left, key=lambda at: (-values[at], at))[:4]


def test_places_count_from_one() -> None:
    assert places(np.array([0.1, 0.9, 0.5, 0.5]), [3, 1]) == [1, 3]


def embeddings_task(folder: Path, base: Path, **options: Any) -> SentenceEmbeddings:
    rows = [{"text": "fox", "positives": "the quick brown fox"}]
    task = open_task(tiny_recipe(folder, base, rows, {"kind": "sentence-embeddings", **options}))
    assert isinstance(task, SentenceEmbeddings)
    model = type("Model", (), {"config": type("C", (), {"to_dict": lambda self: {"hidden_size": 16}})()})()
    task.see(model, folder, False)
    task.attach(AutoTokenizer.from_pretrained(base), 32)
    return task


class Given:
    """A model whose token vectors are given by the first token's number."""

    def __init__(self, vectors: dict[int, list[float]]) -> None:
        self._vectors = vectors

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        states = torch.tensor([[self._vectors[int(token)] for token in row] for row in input_ids])
        return type("Output", (), {"last_hidden_state": states})


def test_the_contrastive_loss_by_hand(tmp_path: Path, encoder_folder: Path) -> None:
    task = embeddings_task(tmp_path, encoder_folder, temperature=0.5, hard=1)
    features = [
        {"input_ids": [1], "positives": [[2]], "negatives": [[4]]},
        {"input_ids": [3], "positives": [[4], [2]], "negatives": []},
        {"input_ids": [1], "positives": [[2]], "negatives": []},
    ]
    seed = next(seed for seed in range(99) if task.collate(features, seed)["own"].tolist() == [0, 1, 0])
    batch = task.collate(features, seed)
    assert batch["text_ids"].tolist() == [[2], [4]]  # each text once, though one is a negative and another's own
    assert batch["right_too"].tolist() == [[False, False], [True, False], [False, False]]
    vectors = {1: [3.0, 4.0], 2: [1.0, 0.0], 3: [0.0, 2.0], 4: [0.6, 0.8], 0: [0.0, 0.0]}
    # the second query's other own text is not counted against it, so it has nothing to lose to
    one = -math.log(math.exp(0.6 / 0.5) / (math.exp(0.6 / 0.5) + math.exp(1.0 / 0.5)))
    assert task.loss(Given(vectors), batch).item() == pytest.approx(2 * one, rel=1e-5)
    assert task.items(batch) == 3
    assert tokens_in(batch) == 5


def test_vectors_are_the_mean_of_real_tokens(tmp_path: Path, encoder_folder: Path) -> None:
    task = embeddings_task(tmp_path, encoder_folder)
    batch = task.inputs([[1, 2], [3]], "text")
    found = task.vectors(Given({0: [9.0, 9.0], 1: [1.0, 0.0], 2: [0.0, 1.0], 3: [0.0, 5.0]}), batch, "text")
    assert found.tolist() == [pytest.approx([0.5**0.5, 0.5**0.5]), [0.0, 1.0]]


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_vectors_of_training_are_those_that_serve(tmp_path: Path, encoder_folder: Path) -> None:
    from transformers import AutoModel

    task = embeddings_task(tmp_path, encoder_folder)
    texts = [*POOL, "fox " * 60]
    model = AutoModel.from_pretrained(encoder_folder).eval()
    with torch.inference_mode():
        own = task.vectors(model, task.inputs([task.ids(text, "document")[0] for text in texts], "text"), "text")
    served = LocalEmbeddings(str(encoder_folder), home=tmp_path, engine="torch").embed_documents(texts)
    assert own.numpy() == pytest.approx(np.array(served), abs=1e-5)


def test_t04_cut_texts_are_counted(tmp_path: Path, encoder_folder: Path) -> None:
    task = embeddings_task(tmp_path, encoder_folder)
    rows = [{"text": "fox", "positives": [text]} for text in (POOL[0], "fox " * 60)]
    found = list(task.features(rows))
    assert [task.is_cut(one) for one in found] == [False, True]
    assert [len(one["positives"][0]) for one in found] == [6, 32]


def test_what_belongs_to_a_query_is_never_mined_against_it(tmp_path: Path, encoder_folder: Path) -> None:
    rows = [
        {"text": "which fox", "positives": [POOL[0]]},
        {"text": "which fox", "positives": [POOL[1]]},
        {"text": "numbers", "positives": [POOL[2]], "negatives": ["given"]},
        {"text": "names", "positives": [POOL[3]]},
    ]
    found = embeddings_task(tmp_path, encoder_folder, mine="words", mined=3).negatives(rows)
    assert found == [[], [], ["given", POOL[3]], []]


def test_an_encoder_pooled_in_another_way_is_refused(tmp_path: Path) -> None:
    base = save_tiny_encoder(tmp_path / "odd")
    (base / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(RecipeError, match="max_tokens"):
        embeddings_task(tmp_path, base)


def matching_rows(count: int) -> list[dict[str, Any]]:
    """Many ways to ask for each of eight texts, with which they share no word."""
    draw = random.Random(2)
    asked = "fox dog manual passages machine person token answers".split()
    texts = "quick brown|lazy jumps|reads over|numbers name|this one|may stop|at a time|them it".split("|")
    rows = []
    for number in range(count):
        filler = draw.choices("the and on have grüße aus köln".split(), k=3)
        query = draw.sample([asked[number % 8], *filler, str(number)], 5)
        rows.append({"text": " ".join(query), "positives": texts[number % 8]})
    return rows


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_encoder_learns_to_find(tmp_path: Path, encoder_folder: Path) -> None:
    task = {"kind": "sentence-embeddings", "mine": "vectors", "hard": 1, "mined": 4}
    training = {"steps": 100, "learning_rate": 1e-2}
    rows = matching_rows(160)
    recipe = tiny_recipe(tmp_path, encoder_folder, rows, task, training=training)
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"]
    assert set(report["model"]["metrics"]) == {"ndcg@10", "mrr@10", "recall@10", "hits@1"}
    assert report["model"]["score"] > 0.8 > report["baseline"]["score"]
    served = LocalEmbeddings(str(tmp_path / "run" / "model"), home=tmp_path, engine="torch")
    assert served.dimension == 16
    assert served.max_tokens == LocalEmbeddings(str(encoder_folder), home=tmp_path).max_tokens
    again = by_vectors(POOL, served)(["fox"])[0]
    assert np.abs(again).max() <= 1 + 1e-5


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_an_adapter_is_saved_inside_its_base(tmp_path: Path, encoder_folder: Path) -> None:
    task = {"kind": "sentence-embeddings"}
    recipe = tiny_recipe(tmp_path, encoder_folder, matching_rows(8), task, method={"kind": "lora", "rank": 2})
    own = open_task(recipe)
    assert isinstance(own, SentenceEmbeddings)
    learner = make_learner(recipe, own, tmp_path, False)
    own.attach(learner.tokenizer, 32)
    for name, parameter in learner.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    learner.save(tmp_path / "saved", own)
    assert not list((tmp_path / "saved").glob("adapter*"))
    with torch.inference_mode():
        learner.model.eval()
        texts = own.inputs([own.ids(text, "document")[0] for text in POOL], "text")
        wanted = own.vectors(learner.model, texts, "text").numpy()
    served = LocalEmbeddings(str(tmp_path / "saved"), home=tmp_path, engine="torch").embed_documents(POOL)
    assert wanted == pytest.approx(np.array(served), abs=1e-4)  # random adapters of 0.3 multiply what rounding leaves
    before = LocalEmbeddings(str(encoder_folder), home=tmp_path, engine="torch").embed_documents(POOL)
    assert np.abs(np.array(before) - wanted).max() > 0.01


def late_task(folder: Path, base: Path, **options: Any) -> LateReranking:
    rows = [{"text": "fox", "positives": "the quick brown fox"}]
    task = open_task(tiny_recipe(folder, base, rows, {"kind": "late-reranking", "mine": "no", **options}))
    assert isinstance(task, LateReranking)
    model = type("Model", (), {"config": type("C", (), {"to_dict": lambda self: {"hidden_size": 16}})()})()
    task.see(model, folder, False)
    task.attach(AutoTokenizer.from_pretrained(base), 32)
    return task


def test_the_late_loss_by_hand(tmp_path: Path, encoder_folder: Path) -> None:
    task = late_task(tmp_path, encoder_folder, temperature=0.5)
    start, end = task.tokenizer.cls_token_id, task.tokenizer.sep_token_id
    one = {"input_ids": [start, 11, 12, end], "keywords": [11], "positives": [[13, 14]], "negatives": []}
    two = {"input_ids": [start, 12, end], "keywords": [12], "positives": [[14]], "negatives": []}
    vectors = {11: [1.0, 0.0], 12: [0.0, 2.0], 13: [3.0, 4.0], 14: [0.0, 1.0], start: [9.0, 9.0], end: [5.0, 1.0]}
    # words 11 and 12 are as near to the first text as 0.6 and 1, to the second as 0 and 1; padding is near to nothing
    batch = task.collate([one, two], 0)
    first = -math.log(math.exp(0.8 / 0.5) / (math.exp(0.8 / 0.5) + math.exp(0.5 / 0.5)))
    by_hand = first + math.log(2)  # word 12 is as near to both
    assert task.loss(Given(vectors | {0: [0.0, 0.0]}), batch).item() == pytest.approx(by_hand, rel=1e-5)


def test_queries_are_shown_as_keywords_as_often_as_asked_for(tmp_path: Path, encoder_folder: Path) -> None:
    assert keywords_of("What is the speed-up of the A380's wing?") == "speed-up A380's wing"
    assert keywords_of("who is it?") == "who is it?"
    row = {"text": "what is the quick fox", "positives": [POOL[0]]}
    lengths = {}
    for share in (0.0, 0.5, 1.0):
        task = late_task(tmp_path, encoder_folder, keywords=share)
        feature = next(iter(task.features([row])))
        lengths[share] = {task.collate([feature], seed)["query_ids"].shape[1] for seed in range(30)}
    long, short = len(feature["input_ids"]), len(feature["keywords"])
    assert short < long
    assert lengths == {0.0: {long}, 0.5: {long, short}, 1.0: {short}}


def test_queries_are_read_from_every_known_layout() -> None:
    assert queries_of({"title": "T", "question": "q", "context": "c", "answers": []}) == [
        {"text": "q", "positives": "c", "title": "T"}
    ]
    assert queries_of({"text": "q", "long_answer": "c"}) == [{"text": "q", "positives": "c"}]
    assert queries_of({"title": "T", "source": ["a.", "b."], "target": ["s"]}) == [
        {"text": text, "positives": "a. b.", "title": "T"} for text in ("T", "s")
    ]
    given = {"text": "q", "positives": ["c"], "negatives": ["d"]}
    assert queries_of(given) == [given]
    with pytest.raises(ValueError, match="'speech'"):
        queries_of({"speech": "x"})


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_late_reranker_learns_and_is_served_as_an_adapter(tmp_path: Path, encoder_folder: Path) -> None:
    task = {"kind": "late-reranking", "temperature": 0.05, "candidates": 4}
    training = {"steps": 100, "learning_rate": 1e-2}
    method = {"kind": "lora", "rank": 8, "alpha": 16}
    texts = {"fox": "quick brown", "dog": "lazy jumps", "manual": "reads over", "machine": "numbers name"}
    rows = [{"text": f"{asked} {number}", "positives": texts[asked]} for number in range(30) for asked in texts]
    recipe = tiny_recipe(tmp_path, encoder_folder, rows, task, training=training, method=method)
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"]
    assert report["model"]["score"] > report["baseline"]["score"]
    served = Reranker(str(tmp_path / "run" / "model"), home=tmp_path)
    assert list((tmp_path / "run" / "model").glob("adapter_model.*"))
    assert served.rank("fox 3", ["numbers name", "quick brown"])[0].text == "quick brown"


def test_the_order_of_pairs_is_learned_by_hand(tmp_path: Path, encoder_folder: Path) -> None:
    rows = [{"text": "fox", "text_pair": "dog", "score": 1}]
    task = open_task(tiny_recipe(tmp_path, encoder_folder, rows, {"kind": "sentence-similarity", "temperature": 0.5}))
    assert isinstance(task, SentenceSimilarity)
    task.__dict__["pooling"] = "mean"
    task.tokenizer = AutoTokenizer.from_pretrained(encoder_folder)
    features = [
        {"input_ids": [1], "second_ids": [2], "score": 5.0},
        {"input_ids": [1], "second_ids": [3], "score": 1.0},
        {"input_ids": [1], "second_ids": [1], "score": 1.0},
    ]
    vectors = {1: [1.0, 0.0], 2: [3.0, 4.0], 3: [0.0, 1.0]}
    # cosines 0.6, 0 and 1: the first pair should be nearer than the two others, which are not compared
    by_hand = math.log(1 + math.exp((0 - 0.6) / 0.5) + math.exp((1 - 0.6) / 0.5))
    batch = task.collate(features, 0)
    assert task.loss(Given(vectors), batch).item() == pytest.approx(by_hand, rel=1e-5)
    assert task.items(batch) == 1


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_encoder_learns_likeness(tmp_path: Path, encoder_folder: Path) -> None:
    draw = random.Random(4)
    words = "quick brown fox jumps over lazy dog reads manual".split()
    rows = []
    for _ in range(120):
        first, second = draw.sample(words, 4), draw.sample(words, 4)
        score = 5.0 if "fox" in first and "dog" in second else 0.0  # a likeness of one's own
        rows.append({"text": " ".join(first), "text_pair": " ".join(second), "score": score + draw.random()})
    recipe = tiny_recipe(
        tmp_path,
        encoder_folder,
        rows,
        {"kind": "sentence-similarity"},
        training={"steps": 60, "batch_rows": 16},
        data={"split": {"validation": 0.1, "test": 0.3}},
    )
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"]
    assert report["model"]["score"] > report["baseline"]["score"]


def reranking_task(folder: Path, base: Path, **options: Any) -> Reranking:
    rows = [{"text": "who", "positives": "ada"}]
    task = open_task(tiny_recipe(folder, base, rows, {"kind": "reranking", **options}))
    assert isinstance(task, Reranking)
    task.attach(AutoTokenizer.from_pretrained(base), 48)
    return task


@pytest.mark.parametrize("loss", ["listwise", "binary"])
def test_reranking_losses_by_hand(loss: str, tmp_path: Path, bert: Path) -> None:
    task = reranking_task(tmp_path, bert, loss=loss, hard=2, mine="no")
    features = [
        {"positives": [{"input_ids": [1]}], "negatives": [{"input_ids": [2]}, {"input_ids": [3]}]},
        {"positives": [{"input_ids": [4]}], "negatives": [{"input_ids": [5]}]},
    ]
    batch = task.collate(features, 0)
    assert batch["at"].tolist() == [[0, 1, 2], [3, 4, -1]]
    assert sorted(batch["input_ids"][1:3].flatten().tolist()) == [2, 3]

    class Model:
        def __call__(self, input_ids: torch.Tensor, **_: Any) -> Any:
            return type("Output", (), {"logits": input_ids.float() / 2})

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    if loss == "listwise":
        first = -math.log(math.exp(0.5) / (math.exp(0.5) + math.exp(1.0) + math.exp(1.5)))
        by_hand = first - math.log(math.exp(2.0) / (math.exp(2.0) + math.exp(2.5)))
    else:
        first = -(math.log(sigmoid(0.5)) + math.log(1 - sigmoid(1.0)) + math.log(1 - sigmoid(1.5))) / 3
        by_hand = first - (math.log(sigmoid(2.0)) + math.log(1 - sigmoid(2.5))) / 2
    assert task.loss(Model(), batch).item() == pytest.approx(by_hand, rel=1e-5)
    assert task.items(batch) == 2


def test_pairs_are_read_as_serving_reads_them(tmp_path: Path, bert: Path) -> None:
    task = reranking_task(tmp_path, bert, mine="no")
    long = "the river runs past old towns " * 12
    row = {"text": "who wrote", "positives": ["ada lovelace"], "negatives": [long]}
    feature = task.feature(row)
    tokenizer = AutoTokenizer.from_pretrained(bert)
    assert tokenizer.decode(feature["positives"][0]["input_ids"]) == "[CLS] who wrote [SEP] ada lovelace [SEP]"
    assert feature["positives"][0]["token_type_ids"] == [0] * 4 + [1] * 3
    assert len(feature["negatives"][0]["input_ids"]) == 48
    assert not feature["cut"]
    assert task.feature(row | {"positives": [long]})["cut"]


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_a_tiny_reranker_learns_to_put_the_right_text_first(tmp_path: Path, bert: Path) -> None:
    draw = random.Random(3)
    rows = []
    for number in range(100):  # every text shares the query's word; the one with "london" is right
        town = draw.choice("river towns bridges hills boats".split())
        filler = draw.sample("the runs past old new people look near green wrote notes".split(), 3)
        rows.append(
            {
                "text": f"{town} where {number}",
                "positives": " ".join(draw.sample([town, "london", *filler], 5)),
                "negatives": [" ".join(draw.sample([town, "business", *draw.sample(filler, 3)], 5)) for _ in (0, 1)],
            }
        )
    task = {"kind": "reranking", "hard": 2, "mine": "no", "candidates": 5}
    recipe = tiny_recipe(tmp_path, bert, rows, task, training={"steps": 80})
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"] / 2
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "relevance"}
    served = Reranker(str(tmp_path / "run" / "model"), home=tmp_path)
    assert served.rank("hills where 7", ["hills old business new", "hills old london new"])[0].index == 1
