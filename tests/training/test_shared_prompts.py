"""Rows that begin alike, read in one pass: the same losses and gradients as apart, from fewer tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models.prompts import NOT_IN_PASSAGES
from tests.training.test_chat import chat_task
from training.layouts import conversation_of
from training.other_passages import with_others
from training.shared_prompts import joined, sees

PASSAGE = "Ann built the red mill in 1820. It stands on a hill near the river, and her brother Bob ground corn there."
QUESTIONS = [("Who built the mill?", ["Ann"]), ("When was it built?", ["1820"]), ("Who paid for it?", [])]


def rows() -> list[dict[str, Any]]:
    other = {"prompt": "Say yes.", "completion": "Yes"}
    asked = [{"question": question, "context": PASSAGE, "answers": answers} for question, answers in QUESTIONS]
    return [conversation_of(values) for values in (*asked, other)]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_joined_rows_have_the_losses_and_gradients_of_the_rows_apart(
    attention: str, tmp_path: Path, tiny_chat_folder: Path
) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_chat_folder, dtype=torch.float32, attn_implementation=attention)
    apart, together = chat_task(tmp_path), chat_task(tmp_path, joined_tokens=400)

    def learned(task: Any) -> tuple[float, int, list[torch.Tensor], int]:
        features = list(task.features(rows()))
        batch = task.collate(features, 0)
        model.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()
        tokens = int(batch["attention_mask"].sum())
        return loss.item(), task.items(batch), [one.grad.clone() for one in model.parameters()], tokens

    loss, items, gradients, tokens = learned(apart)
    joint, joint_items, joint_gradients, joint_tokens = learned(together)
    assert joint == pytest.approx(loss, rel=1e-5)
    assert joint_items == items
    for one, other in zip(gradients, joint_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
    assert joint_tokens < 0.6 * tokens


def test_what_is_joined_is_bounded_and_holds_every_row_once(tmp_path: Path) -> None:
    alone = list(chat_task(tmp_path).features(rows()))
    longest = max(len(one["input_ids"]) for one in alone)
    for most in (longest, longest + 20, 1000):
        together = list(joined(alone, most))
        assert all(len(one["input_ids"]) <= most for one in together)
        apart = [_row(one, number) for one in together for number in range(1, max(one["branch"]) + 1)]
        assert apart == [one["input_ids"] for one in alone]
    assert len(list(joined(alone, 1000))) == 2  # three questions about one passage, and another thing


def _row(feature: dict[str, Any], number: int) -> list[int]:
    return [token for token, own in zip(feature["input_ids"], feature["branch"], strict=True) if own in (0, number)]


def test_a_token_sees_what_is_shared_and_its_own_row_before_it() -> None:
    branch = torch.tensor([[0, 0, 1, 1, 2, -1]])
    shown = (sees(branch, torch.float32)[0, 0] == 0).int().tolist()
    assert shown == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_questions_are_shown_with_others_passages_and_without_their_own() -> None:
    texts = [f"Mill {name} was built by {name} on hill {name}." for name in ("Ann", "Bob", "Cyd", "Dot", "Eve")]
    names = [text.split()[1] for text in texts]
    asked = [
        conversation_of({"question": f"Who built mill {name}?", "context": text, "answers": [name]})
        for name, text in zip(names, texts, strict=True)
    ]
    told = conversation_of({"prompt": "a", "completion": "b"})
    found = list(with_others([*asked, *asked, told], (0, 3), 1.0, seed=1))
    assert found[0] == told
    by_question = [[row for row in found if row["question"] == own["question"]] for own in asked]
    for own, shown in zip(asked, by_question, strict=True):
        contents = [row["messages"][-1]["content"] for row in shown]
        assert [content.count("\n\n") for content in contents] == [1, 4, 4]
        assert [own["passage"] in content for content in contents] == [True, True, False]
        assert [row["answer"] for row in shown] == [own["answer"], own["answer"], NOT_IN_PASSAGES]
    assert found == list(with_others([*asked, told], (0, 3), 1.0, seed=1))  # a repeated row is shown once
