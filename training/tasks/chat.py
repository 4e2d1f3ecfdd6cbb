"""Conversations: a chat model learns to answer, and nothing else of what it is shown.

The prompt is what `models/prompts.py` makes when serving, token by token; the loss counts the answer and what ends it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.data import Column, Layout, Part
from training.follow_ups import FollowUpRows
from training.layouts import conversation_of
from training.other_passages import with_others
from training.shared_prompts import joined, sees, shared_inputs
from training.tasks.base import IGNORED, Prediction, Row, Task, padded, padded_inputs
from training.tasks.generating import label_count, label_loss, logits_at

if TYPE_CHECKING:
    import torch
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage, ToolCall


@dataclass(frozen=True)
class Options:
    """Keys of `[task]`.

    A conversation without a system message is asked as the chat asks, unless `as_chat` is false. `all_turns` learns
    the assistant's earlier turns, too. `max_new_tokens` bounds an answer when judging. `beside` and `silent` say with
    which other passages questions are learned (`training/other_passages.py`). Rows that begin alike are read as one of
    at most `joined_tokens` tokens, 0 reads each by itself. With `follow_ups`, questions about a text are learned to be
    said whole, too, as the last of a thread (`training/follow_ups.py`).
    """

    as_chat: bool = True
    all_turns: bool = True
    max_new_tokens: int = 128
    beside: tuple[int, ...] = ()
    silent: float = 0.0
    joined_tokens: int = 0
    follow_ups: bool = False


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
            Column("question", required=False, blank=True, answer=True),  # what the messages say, once more
            Column("passage", required=False, blank=True, answer=True),
            Column("tool", required=False, blank=True),
        )

    @property
    def layout(self) -> Layout:
        return _Rows(FollowUpRows(self.recipe.seed) if self.options.follow_ups else None)

    def messages(self, row: Row) -> list[BaseMessage]:
        """What stands before the answer, as the chat would say it."""
        return asked(row["messages"], self.options.as_chat)

    def features(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        shown = self.options.beside
        if shown:
            rows = with_others(rows, shown, self.options.silent, self.recipe.seed)
        alone = super().features(rows)
        return joined(alone, self.options.joined_tokens) if self.options.joined_tokens else alone

    def feature(self, row: Row) -> dict[str, Any]:
        from langchain_core.messages import AIMessage

        tools = tools_of(row)
        answer = AIMessage("", tool_calls=[call_of(row)]) if tools else AIMessage(row["answer"])
        return self.cut(*self.numbers([*self.messages(row), answer], tools, all_turns=self.options.all_turns))

    def numbers(
        self, turns: Sequence[BaseMessage], tools: Sequence[dict[str, Any]] = (), *, all_turns: bool = False
    ) -> tuple[list[int], list[int]]:
        """The tokens of a conversation with the tools offered in it, and 1 for each that is learned."""
        from langchain_core.messages import AIMessage

        from models.prompts import render_answer

        name = str(self.recipe.base)
        shown, written = render_answer(self.tokenizer, turns, model=name, tools=tools)
        ids, learned = shown + written, [0] * len(shown) + [1] * len(written)
        for index, turn in enumerate(turns[:-1]):
            if not (all_turns and isinstance(turn, AIMessage)):
                continue
            before, said = render_answer(self.tokenizer, turns[: index + 1], model=name, tools=tools)
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
        if "branch" in features[0]:
            batch |= shared_inputs(features)
        return batch | {"labels": batch["input_ids"].masked_fill(learned == 0, IGNORED)}

    def items(self, batch: Mapping[str, torch.Tensor]) -> int:
        return label_count(batch)

    def loss(self, model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        logits, labels = next_token_logits(model, batch)
        return label_loss(logits, labels, self.recipe.training.label_smoothing)

    def predict(self, folder: Path, home: Path, rows: Sequence[Row]) -> list[Prediction]:
        from models.chat import open_chat_model

        served = open_chat_model(str(folder), home=home, engine="torch", max_new_tokens=self.options.max_new_tokens)
        return [{"answer": self._said(served, row)} for row in rows]

    def _said(self, served: BaseChatModel, row: Row) -> str:
        """What is answered, or called: as JSON, in the form of the row's own answer."""
        from langchain_core.messages import AIMessage

        tools = tools_of(row)
        if not tools:
            return str(served.invoke(self.messages(row)).content).strip()
        said = served.bind_tools(tools, tool_choice=call_of(row)["name"]).invoke(self.messages(row))
        calls = said.tool_calls if isinstance(said, AIMessage) else []
        return "".join(json.dumps({"name": call["name"], "arguments": call["args"]}) for call in calls[:1])

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


def tools_of(row: Row) -> list[dict[str, Any]]:
    """The tool that a row's call is of, in OpenAI's form; none where the answer is words."""
    return [json.loads(row["tool"])] if row.get("tool") else []


def call_of(row: Row) -> ToolCall:
    """A row's answer as a call."""
    from langchain_core.messages import ToolCall

    said = json.loads(row["answer"])
    return ToolCall(name=said["name"], args=said["arguments"], id="1")


@dataclass
class _Rows:
    """Source rows to conversations, and to the follow-ups of those that ask about a text, each question once."""

    follow_ups: FollowUpRows | None
    followed: set[str] = field(default_factory=set)

    def __call__(self, values: dict[str, Any]) -> list[dict[str, Any]]:
        rows = [conversation_of(values)]
        question = rows[0]["question"]
        if self.follow_ups is not None and question and question not in self.followed:
            self.followed.add(question)
            rows += [{**rows[0], "passage": "", **row} for row in self.follow_ups(values)]
        return rows


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
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    if "branch" in batch:
        inputs |= {"position_ids": batch["position_ids"], "attention_mask": sees(batch["branch"], model.dtype)}
    logits = logits_at(model, before, **inputs)
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
