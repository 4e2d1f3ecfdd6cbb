"""A thread as a file of one's own: all that was said with its sources, files and feedback, as JSON or as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from agent.events import Source
from chat.inert import plain
from chat.passages import place, quoted

if TYPE_CHECKING:
    from chat.feedback import Feedback
    from chat.threads import Body, Threads

_ROLES = {"user_message": "user", "assistant_message": "assistant"}
_OF_AN_ANSWER = ("tool", "model", "supported", "abstained", "sources", "data")
_LONGEST_NAME = 60


def exported(threads: Threads, feedback: Feedback, owner: str, thread: str) -> Body | None:
    """A thread of its owner's as JSON; None where there is none.

    `{id, name, user, created, messages: [{id, role, at, text, shown, files, good, comment, corrections, tool, model,
    supported, abstained, sources, data}]}`; `good` is true, false, or null without a mark, and what belongs to an
    answer alone is missing elsewhere. `text` is an answer as the model wrote it, `shown` what the page shows of it.
    """
    found = threads.thread(owner, thread)
    if found is None or found["userId"] != owner:
        return None
    answers, corrections = feedback.answers(owner, thread), feedback.corrections(owner, thread)
    marks = {step["id"]: step["feedback"] for step in found["steps"] if step["feedback"]}
    said = [step for step in found["steps"] if step["type"] in _ROLES]
    # The page's thumbs mark the run that an answer was given in: the answer is the last one in it.
    last = {step.get("parentId"): step["id"] for step in said if step["id"] in answers}
    marks = {last.get(marked, marked): mark for marked, mark in marks.items()}
    return {
        "id": thread,
        "name": found["name"],
        "user": owner,
        "created": found["createdAt"],
        "messages": [
            _message(step, answers.get(step["id"]), marks.get(step["id"]))
            | {"corrections": corrections.get(step["id"], []), "files": _files(found["elements"], step["id"])}
            for step in said
        ],
    }


def as_markdown(thread: Mapping[str, Any]) -> str:
    """An exported thread to read: each message under who said it, sources quoted, feedback beside the answer."""
    name = plain(" ".join((thread["name"] or "Chat").split()))
    blocks = [f"# {name}", f"A chat with Hearth, begun {_when(thread['created'])}."]
    for message in thread["messages"]:
        who = "You" if message["role"] == "user" else "Hearth"
        blocks += ["---", f"**{who}**, {_when(message['at'])}", *_words(message)]
    return "\n\n".join(block for block in blocks if block.strip()) + "\n"


def file_name(thread: Mapping[str, Any], ending: str) -> str:
    """A name for the file, of letters and digits alone."""
    words = re.sub(r"[^a-z0-9]+", "-", (thread["name"] or "").lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return f"hearth-{words or 'chat'}.{ending}"


def _as_json(thread: Mapping[str, Any]) -> str:
    return json.dumps(thread, ensure_ascii=False, indent=2) + "\n"


FORMS: dict[str, tuple[str, str, Callable[[Mapping[str, Any]], str]]] = {
    "markdown": ("md", "text/markdown; charset=utf-8", as_markdown),
    "json": ("json", "application/json", _as_json),
}
"""What a thread can be saved as: the file's ending, its type, and what writes it."""


def _message(step: Mapping[str, Any], answer: Mapping[str, Any] | None, mark: Mapping[str, Any] | None) -> Body:
    given = {name: answer.get(name) for name in _OF_AN_ANSWER} if answer else {}
    return {
        "id": step["id"],
        "role": _ROLES[step["type"]],
        "at": step.get("createdAt"),
        "text": answer["answer"] if answer else step["output"],
        "shown": step["output"],
        "good": bool(mark["value"]) if mark else None,
        "comment": mark["comment"] if mark else None,
        **given,
    }


def _files(elements: list[Body], step: str) -> list[str]:
    return [str(element.get("name")) for element in elements if element.get("forId") == step]


def _words(message: Mapping[str, Any]) -> list[str]:
    # What was shown and not what the model wrote: nothing in it makes a reader fetch something (rule 23).
    said = plain(message["shown"]) if message["role"] == "user" else message["shown"]
    blocks = [re.sub(r"\[(\d+)\]\(#source-\d+\)", r"[\1]", said)]
    blocks += [f"Files: {', '.join(map(plain, message['files']))}"] if message["files"] else []
    for found in message.get("sources") or []:
        source = Source(**{field.name: found.get(field.name) for field in fields(Source)})
        blocks.append(f"[{source.number}] {plain(place(source))}\n\n{quoted(source.quote)}")
    if message["good"] is not None:
        comment = f": {plain(message['comment'])}" if message["comment"] else ""
        blocks.append(f"Marked {'good' if message['good'] else 'bad'}{comment}")
    for one in message["corrections"]:
        kind = {"answer": "the answer", "label": "the label", "source": f"source {one['wrong']}"}[one["kind"]]
        blocks.append(f"Corrected, {kind} should have been: {plain(one['right']) or 'none'}")
    return blocks


def _when(moment: str | None) -> str:
    return f"{moment[:10]} {moment[11:16]} UTC" if moment else "at an unknown time"
