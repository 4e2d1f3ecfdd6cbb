"""Conversations: a chat model learns to answer, and nothing else of what it is shown.

The prompt is what `models/prompts.py` makes when serving, token by token; the loss counts the answer and what ends it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column, Layout, Part
from training.layouts import conversation_of
from training.tasks.base import IGNORED, Prediction, Row, Task, padded, padded_inputs
from training.tasks.generating import label_count, label_loss, logits_at

if TYPE_CHECKING:
    import torch
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    A conversation without a system message is asked as the chat asks, unless `as_chat` is false. `all_turns` learns
    the assistant's earlier turns, too. `max_new_tokens` bounds an answer when judging.
    """

    as_chat: bool = True
    all_turns: bool = True
    max_new_tokens: int = 128


class Chat(Task):
    """Learns answers; served by `LocalChatModel`."""

    kind = "chat"
    role = "chat"
    auto_class = "AutoModelForCausalLM"
    metric = "f1"
    simple_rule = "the commonest answer"
    Options = Options

    @property
    def columns(self) -> tuple[Column, ...]:
        return (
            Column("messages", "messages"),
            Column("answer", answer=True),
            Column("references", "texts", answer=True),
        )

    @property
    def layout(self) -> Layout:
        return lambda values: [conversation_of(values)]

    def messages(self, row: Row) -> list[BaseMessage]:
        """What stands before the answer, as the chat would say it."""
        return asked(row["messages"], self.options.as_chat)

    def feature(self, row: Row) -> dict[str, Any]:
        from langchain_core.messages import AIMessage

        turns = [*self.messages(row), AIMessage(row["answer"])]
        return self.cut(*self.numbers(turns, all_turns=self.options.all_turns))

    def numbers(self, turns: Sequence[BaseMessage], *, all_turns: bool = False) -> tuple[list[int], list[int]]:
        """The tokens of a conversation, and 1 for each that is learned."""
        from langchain_core.messages import AIMessage

        from models.prompts import render_answer

        name = str(self.recipe.base)
        shown, written = render_answer(self.tokenizer, turns, model=name)
        ids, learned = shown + written, [0] * len(shown) + [1] * len(written)
        for index, turn in enumerate(turns[:-1]):
            if not (all_turns and isinstance(turn, AIMessage)):
                continue
            before, said = render_answer(self.tokenizer, turns[: index + 1], model=name)
            if ids[: len(before) + len(said)] == before + said:  # no template that takes back what was said
                learned[len(before) : len(before) + len(said)] = [1] * len(said)
        return ids, learned

    def cut(self, ids: list[int], learned: list[int]) -> dict[str, Any]:
        """The feature of a conversation, its end cut off at the window."""
        most = self.max_tokens
        kept = learned[:most]
        return {"input_ids": ids[:most], "learned": kept, "cut": len(ids) > most, "empty": not any(kept[1:])}

    def collate(self, features: Sequence[Mapping[str, Any]], seed: int) -> dict[str, torch.Tensor]:
        batch = padded_inputs(self.tokenizer, features)
        learned = padded([feature["learned"] for feature in features], 0)
        learned[:, 0] = 0  # nothing stands before the first token to tell it from
        return batch | {"labels": batch["input_ids"].masked_fill(learned == 0, IGNORED)}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return label_count(batch)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        logits, labels = next_token_logits(model, batch)
        return label_loss(logits, labels, self.recipe.training.label_smoothing)

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.chat import open_chat_model

        served = open_chat_model(str(folder), home=home, engine="torch", max_new_tokens=self.options.max_new_tokens)
        return [{"answer": str(served.invoke(self.messages(row)).content).strip()} for row in rows]

    def simple_predictions(self, train: Part, rows: Sequence[Row]) -> list[Prediction]:
        commonest = Counter(train.column("answer")).most_common(1)[0][0]
        return [{"answer": commonest} for _ in rows]

    def scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> dict[str, float]:
        from statistics import fmean

        from models.metrics import contains_answer, exact_match, token_f1
        from models.task_metrics import summary_scores

        measures = {"f1": token_f1, "exact": exact_match, "contains": contains_answer}
        pairs = [(said["answer"], row["references"]) for row, said in zip(rows, predictions, strict=True)]
        found = {name: fmean(measure(*pair) for pair in pairs) for name, measure in measures.items()}
        return found | {"rougeL": summary_scores(*zip(*pairs, strict=True))["rougeL"]}

    def row_scores(self, rows: Sequence[Row], predictions: Sequence[Prediction]) -> list[float]:
        from models.metrics import token_f1

        return [token_f1(said["answer"], row["references"]) for row, said in zip(rows, predictions, strict=True)]

    def example(self, feature: Mapping[str, Any]) -> str:
        return marked(self.tokenizer, feature["input_ids"], feature["learned"])


def asked(messages: Sequence[Mapping[str, str]], as_chat: bool) -> list[BaseMessage]:
    """Messages as plain values as the chat's own: without a system message, asked as the chat asks."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    from models.prompts import chat_messages

    classes = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}
    found = [classes[message["role"]](message["content"]) for message in messages]
    if as_chat and found and isinstance(found[-1], HumanMessage) and not isinstance(found[0], SystemMessage):
        return chat_messages(str(found[-1].content), found[:-1])
    return found


def next_token_logits(model: Any, batch: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The logits before each labelled token, and those labels, in order."""
    import torch

    after = batch["labels"] != IGNORED
    before = torch.zeros_like(after)
    before[:, :-1] = after[:, 1:]
    logits = logits_at(model, before, input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return logits, batch["labels"][:, 1:][after[:, 1:]]


def marked(tokenizer: Any, ids: Sequence[int], learned: Sequence[int]) -> str:
    """Tokens as text, what is learned between ⟦ and ⟧."""
    parts, start = [], 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or learned[end] != learned[start]:
            text = str(tokenizer.decode(list(ids[start:end])))
            parts.append(f"⟦{text}⟧" if learned[start] else text)
            start = end
    return "".join(parts)
