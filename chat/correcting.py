"""A person says what an answer, its label or one of its sources should have been; asked on the page, kept for training.

The questions and replies of this are taken off the page again: they are no part of the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import chainlit as cl
from chainlit.context import context

from chat.backstage import stage
from chat.identity import required
from chat.inert import plain

ACTION = "correct"
_SECONDS_TO_REPLY = 600
_MOST_CHOICES = 12
_ANSWER, _LABEL, _SOURCE = "answer", "label", "source"
_THANKS = "Kept for the review list: thank you."


def correct_button(message_id: str) -> cl.Action:
    """The button under an answer."""
    return cl.Action(
        name=ACTION,
        label="Correct",
        icon="pencil",
        tooltip="Say what the answer, its label or a source should have been",
        payload={"message": message_id},
    )


async def ask_for_correction(message_id: str, answer: Mapping[str, Any]) -> None:
    """Ask what is wrong and what is right, and keep it; a person who does not reply in time keeps nothing.

    Args:
        message_id: the answer's message.
        answer: the answer as it was given.
    """
    try:
        await _ask(message_id, answer)
    finally:
        # After a question of ours Chainlit shows the page as busy, as it takes it for a part of an answer.
        await context.emitter.task_end()


async def _ask(message_id: str, answer: Mapping[str, Any]) -> None:
    labels = labels_of(answer)
    offered = [(_ANSWER, "The answer"), *([(_LABEL, "The label")] if labels else [])]
    offered += [(f"{_SOURCE} {source['number']}", f"Source [{source['number']}]") for source in answer["sources"]]
    chosen = _ANSWER if len(offered) == 1 else await _choose("What should be corrected?", offered)
    if chosen is None:
        return
    kind, _, number = chosen.partition(" ")
    if kind == _LABEL:
        wrong, right = labels[0], await _right_label(labels)
    elif kind == _SOURCE:
        words = "Which document or passage should have been cited? Write *none* if this one just does not belong here."
        wrong, right = number, await _words(words)
        right = "" if right is not None and right.strip(" .*").lower() == "none" else right
    else:
        wrong, right = str(answer["answer"]), await _words("What should the answer have been?")
    if right is None:
        return
    chats = stage().chats
    await chats.do(chats.feedback.correct, required().name, message_id, kind, wrong, right.strip())
    await context.emitter.send_toast(_THANKS, "success")


def labels_of(answer: Mapping[str, Any]) -> list[str]:
    """The labels that an answer chose among, the chosen one first; empty for an answer that is no classification."""
    data = answer.get("data")
    rows = data if isinstance(data, Sequence) and not isinstance(data, str) else []
    return [str(row["label"]) for row in rows if isinstance(row, Mapping) and "label" in row and "score" in row]


async def _right_label(labels: Sequence[str]) -> str | None:
    other = "another"
    offered = [(f"label {index}", plain(label)) for index, label in enumerate(labels[1:_MOST_CHOICES], start=1)]
    chosen = await _choose("Which label is right?", [*offered, (other, "Another")])
    if chosen == other:
        return await _words("Which label is right?")
    return labels[int(chosen.partition(" ")[2])] if chosen else None


async def _choose(question: str, offered: Sequence[tuple[str, str]]) -> str | None:
    """One of the offered values by a button; None without a reply."""
    actions = [cl.Action(name="choice", label=label, payload={"value": value}) for value, label in offered]
    asked = cl.AskActionMessage(content=question, actions=actions, timeout=_SECONDS_TO_REPLY)
    reply = await asked.send()
    await asked.remove()
    return str(reply["payload"]["value"]) if reply else None


async def _words(question: str) -> str | None:
    """A person's own words; None without any."""
    asked = cl.AskUserMessage(content=question, timeout=_SECONDS_TO_REPLY)
    reply = await asked.send()
    await asked.remove()
    if reply is None:
        return None
    await cl.Message.from_dict(reply).remove()
    return str(reply["output"]) if str(reply["output"]).strip() else None
