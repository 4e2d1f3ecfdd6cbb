"""Hidden words: masks by the seed and in their shares, blocks that lose nothing, losses by hand, and a model served."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertForMaskedLM

from models.tasks.fill_mask import MaskFiller
from tests.models.tiny_tasks import WORDS, long_text, save_bert
from tests.training.tiny import tiny_recipe
from training.run import run
from training.sources import rows_of
from training.tasks import open_task
from training.tasks.base import IGNORED
from training.tasks.masked_language_model import MaskedLanguageModel, Reading

TASK = {"kind": "masked-language-model"}


def task_for(folder: Path, bert: Path, window: int = 48) -> MaskedLanguageModel:
    task = open_task(tiny_recipe(folder, bert, [{"text": "the river"}], TASK))
    assert isinstance(task, MaskedLanguageModel)
    task.attach(AutoTokenizer.from_pretrained(bert), window)
    return task


def test_blocks_hold_every_token_in_order(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert, 16)
    texts = [long_text(count, count) for count in (3, 40, 7, 1)]
    features = list(task.features({"text": text} for text in texts))
    assert all(len(one["input_ids"]) == 16 for one in features[:-1])
    tokenizer = AutoTokenizer.from_pretrained(bert)
    assert all((one["input_ids"][0], one["input_ids"][-1]) == (2, 3) for one in features)
    inner = [token for one in features for token in one["input_ids"][1:-1]]
    assert inner == [token for text in texts for token in tokenizer(text, verbose=False)["input_ids"][1:]]


def test_masks_come_from_the_seed_alone_and_in_their_shares(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert)
    features = list(task.features({"text": long_text(60, seed)} for seed in range(100)))
    batch = task.collate(features, 5)
    again = task.collate(features, 5)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["labels"], task.collate(features, 6)["labels"])
    whole = task.collate(features, 5)["labels"]
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(one["input_ids"]) for one in features], batch_first=True)
    learned = whole != IGNORED
    assert torch.equal(whole[learned], ids[learned])  # what is learned is what stood there
    assert torch.equal(batch["input_ids"][~learned], ids[~learned])  # and nothing else is touched
    special = torch.isin(ids, torch.tensor([0, 1, 2, 3, 4]))
    assert not (learned & special).any()
    count, most = int(learned.sum()), int((~special).sum())
    assert count == pytest.approx(0.15 * most, rel=0.1)
    masked = int((batch["input_ids"][learned] == 4).sum())
    same = int((batch["input_ids"][learned] == ids[learned]).sum())
    assert masked == pytest.approx(0.8 * count, rel=0.1)
    assert same == pytest.approx(0.1 * count, rel=0.4)


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_the_losses_of_hidden_tokens_by_hand(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "mlm", BertForMaskedLM)
    served = MaskFiller(str(folder), home=tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer("the river runs past old towns")["input_ids"], tokenizer("who wrote the notes")["input_ids"]]
    found = served.losses(texts, [[2, 5], [1]])
    model = BertForMaskedLM.from_pretrained(folder)
    for ids, places, losses in zip(texts, [[2, 5], [1]], found, strict=True):
        shown = [tokenizer.mask_token_id if at in places else token for at, token in enumerate(ids)]
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([shown])).logits[0].log_softmax(-1)
        assert losses == pytest.approx([-float(scores[at, ids[at]]) for at in places], abs=1e-4)


@pytest.mark.usefixtures("float32", "no_kept_models")
def test_rows_are_judged_by_their_own_hidden_tokens(tmp_path: Path, bert: Path) -> None:
    task = task_for(tmp_path, bert, 16)
    rows: list[Any] = [{"text": long_text(count, count)} for count in (30, 1, 12, 50)]
    reading = Reading(task.tokenizer, 16)
    seen: list[list[int]] = []

    def losses(texts: Any, hidden: Any) -> list[list[float]]:
        seen.extend([ids[at] for at in own] for ids, own in zip(texts, hidden, strict=True))
        return [[float(ids[at]) for at in own] for ids, own in zip(texts, hidden, strict=True)]

    said = task._judged(reading, rows, losses)
    assert sum(one["nats"] for one in said) == sum(map(sum, seen))
    assert [one["tokens"] for one in said] != [0] * 4
    assert sum(one["tokens"] for one in said) == sum(map(len, seen))
    assert task.scores(rows, said)["loss"] == pytest.approx(sum(map(sum, seen)) / sum(map(len, seen)))
    tally = task.tally(rows, said)
    assert tally.score([sum(column) for column in zip(*tally.counts, strict=True)]) == task.scores(rows, said)["loss"]


def test_paragraphs_are_rows_where_asked(tmp_path: Path) -> None:
    (tmp_path / "plays.txt").write_text("A:\nHark.\n\n\nB:\nWhat?\nWho?\n \nC:\nI.")
    rows = list(rows_of("plays.txt", tmp_path, paragraphs=True))
    assert [(row.values["text"], row.line) for row in rows] == [("A:\nHark.", 1), ("B:\nWhat?\nWho?", 5), ("C:\nI.", 9)]


@pytest.mark.usefixtures("float32", "no_kept_models")
@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_tiny_model_from_scratch_fills_gaps(kind: str, tmp_path: Path) -> None:
    draw = random.Random(8)
    pairs = {"river": "fish", "machine": "notes", "towns": "bridges", "hills": "boats"}
    rows = [
        {"text": f"{one} {draw.choice(WORDS.split()[:8])} {pairs[one]}"} for one in draw.choices(list(pairs), k=150)
    ]
    task = TASK | {
        "hidden": 0.3,
        "tokenizer": {"kind": kind, "size": 300},
        "model": {"width": 32, "inner": 64, "layers": 2, "heads": 2, "dropout": 0.0, "window": 24},
    }
    training = {"steps": 250 if kind == "wordpiece" else 8, "learning_rate": 1e-2}
    recipe = tiny_recipe(tmp_path, None, rows, task, data={"limits": {"leaks": 1.0}}, training=training)
    report = run(recipe, home=tmp_path, folder=tmp_path / "run")
    assert report["training"]["last_loss"] < report["training"]["first_loss"]
    assert report["model"]["metrics"]["perplexity"] == pytest.approx(math.exp(report["model"]["score"]))
    served = MaskFiller(str(tmp_path / "run" / "model"), home=tmp_path)
    assert len(served("river the ___", top_k=3)[0]) == 3
    if kind == "wordpiece":
        assert report["training"]["last_loss"] < report["training"]["first_loss"] / 2
        assert report["model"]["score"] < report["baseline"]["score"]
        assert report["gate"]["open"]
        assert served("river the ___")[0][0].token in WORDS
