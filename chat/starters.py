"""What a new person can click first: replies about Hearth itself, written here and given without a model.

A small model asked how its own program works would make something up.
"""

from __future__ import annotations

import asyncio

import chainlit as cl

from chat.backstage import AssistantLike
from chat.inert import code

_HOW_IT_WORKS = "How does Hearth work?"
_WHAT_IS_THERE = "What is in my library?"
_MOST_LISTED = 50

_GUIDE = """Everything runs on this machine: the model, the search, your documents. Nothing is sent anywhere.

1. **Drop a document** onto the chat (PDF, Office, mail, tables, web pages, pictures and more). It belongs to this chat.
2. **Ask about it.** The answer is written from the passages that fit best, and each number in it names a source.
3. **Click a number** to see the page or passage beside the chat.
4. **Keep in library** makes a document available to every chat. *Library*, at the top, lists what is there and limits \
your questions to the documents you tick.
5. **Type `/`** to choose a tool yourself: translate, summarize, classify, compare and others.
6. The gear sets model, temperature and length for this chat; `/status` shows what the machine is doing.

When your documents do not hold the answer, the reply says so instead of guessing."""


def starters() -> list[cl.Starter]:
    """The buttons of an empty chat."""
    return [cl.Starter(label=text, message=text) for text in (_HOW_IT_WORKS, _WHAT_IS_THERE)]


async def prepared_reply(message: str, assistant: AssistantLike) -> str | None:
    """The page's own reply to one of its starters; None for every other message."""
    if message == _HOW_IT_WORKS:
        return _GUIDE
    if message == _WHAT_IS_THERE:
        return await asyncio.to_thread(_listing, assistant)
    return None


def _listing(assistant: AssistantLike) -> str:
    records = assistant.library.documents()
    if not records:
        return "Your library is empty. Drop a document onto the chat and choose *Keep in library*."
    lines = [
        f"- {code(record.document)}{f', {record.pages} pages' if record.pages else ''}"
        for record in records[:_MOST_LISTED]
    ]
    more = len(records) - len(lines)
    ending = f"\n- and {more} more" if more > 0 else ""
    count = f"{len(records)} document{'' if len(records) == 1 else 's'}"
    return f"Your library holds {count}:\n\n" + "\n".join(lines) + ending
