"""The ways in which conversations lie in files, each turned into one: the messages before an answer, and the answer.

Known are messages (`{role, content}`), ShareGPT (`{from, value}`), Alpaca (instruction, input, output), prompt and
completion, a question with its passages, a text with its summary, a message with the call that it asks for; a
preference adds what should not have been answered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

Values = Mapping[str, Any]
Message = dict[str, str]
_ROLES = {"human": "user", "user": "user", "prompter": "user", "gpt": "assistant", "assistant": "assistant"}
_ROLES |= {"bot": "assistant", "model": "assistant", "system": "system"}
_OF_OTHER_KINDS = {"question": "", "passage": "", "tool": ""}
_COMPLETIONS = ("completion", "response", "output", "answer")


def conversation_of(values: Values) -> dict[str, Any]:
    """`{messages, answer, references, question, passage, tool}` of a row in any of the known ways.

    `references` are all the answers that count as right; learned is the one that was given most often. `question` and
    `passage` are empty but for a question about one passage; `tool` but for a call, the JSON of the tool in OpenAI's
    form, whose answer is the JSON of its name and arguments.

    Raises:
        ValueError: the row is laid out in none of them, or its last turn is not the assistant's.
    """
    if "question" in values and ("passages" in values or "context" in values):
        return _grounded(values)
    if "text" in values and "summary" in values:
        return _summed_up(values)
    if "function" in values and "ground_truth" in values:
        return _called(values)
    turns = _turns(values)
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError("the conversation does not end with the assistant's turn.")
    answer = turns[-1]["content"]
    return {"messages": turns[:-1], "answer": answer, "references": [answer], **_OF_OTHER_KINDS}


def preference_of(values: Values) -> dict[str, Any]:
    """`{messages, chosen, rejected}` of a row with two answers, as whole conversations or as the last turn alone.

    Raises:
        ValueError: one of them is missing.
    """
    if missing := [name for name in ("chosen", "rejected") if name not in values]:
        raise ValueError(f"there is no column {missing[0]!r}; the columns are {', '.join(map(repr, values))}.")
    chosen, rejected = (_answered(values[name]) for name in ("chosen", "rejected"))
    before = _before(values) or chosen[:-1]
    return {"messages": before, "chosen": chosen[-1]["content"], "rejected": rejected[-1]["content"]}


def judged_of(values: Values) -> dict[str, Any]:
    """`{messages, answer, good}` of a row with one answer and whether it was liked (`label` or `kto_tag`).

    Raises:
        ValueError: the label is missing or no truth value.
    """
    label = values.get("label", values.get("kto_tag"))
    if isinstance(label, str) and label.lower() in ("true", "false", "0", "1"):
        label = label.lower() in ("true", "1")
    if not isinstance(label, (bool, int)):
        raise ValueError(f"the label is {label!r}, expected true or false in a column 'label'.")
    found = conversation_of({name: value for name, value in values.items() if name not in ("label", "kto_tag")})
    return {"messages": found["messages"], "answer": found["answer"], "good": float(label)}


def _grounded(values: Values) -> dict[str, Any]:
    """A question with passages in the words it is asked in when serving; no answers means that they hold none."""
    from models.prompts import NOT_IN_PASSAGES, answer_messages

    given = values.get("passages", values.get("context"))
    passages = [given] if isinstance(given, str) else [_text(one) for one in given or []]
    answers = values.get("answers", values.get("answer"))
    if isinstance(answers, Mapping):  # as SQuAD has them
        answers = answers.get("text")
    found = [] if values.get("is_impossible") else _texts(answers)
    question = str(values["question"])
    replied = _replied(answer_messages(question, passages), found or [NOT_IN_PASSAGES])
    return replied | {"question": question, "passage": passages[0]} if len(passages) == 1 else replied


def _summed_up(values: Values) -> dict[str, Any]:
    """A text to be summed up in the words it is asked in when serving, in `words` words at most."""
    from models.prompts import summary_messages
    from models.tasks.summarizer import DEFAULT_WORDS

    text = values["text"] if isinstance(values["text"], str) else " ".join(_texts(values["text"]))
    return _replied(
        summary_messages(text, int(values.get("words") or DEFAULT_WORDS)), _texts(values["summary"]) or [""]
    )


def _called(values: Values) -> dict[str, Any]:
    """A message, functions and the calls that are right, as the Berkeley leaderboard has them; the first is learned.

    Each argument has its accepted values, of which an empty text says that it may be left out.
    """
    from models.prompts import call_messages
    from models.tool_calls import openai_tool

    calls = values["ground_truth"] or []
    if not calls:
        raise ValueError("the row has no call to learn; leave out rows of tools that do not fit.")
    [(name, accepted)] = calls[0].items()
    function = next((one for one in values["function"] if one["name"] == name), None)
    if function is None:
        raise ValueError(f"the tool {name!r} is called and is none of the row's functions.")
    message = values["question"][0][-1]["content"]
    call = {"name": name, "arguments": _first_accepted(accepted)}
    tool = json.dumps(openai_tool(function), ensure_ascii=False)
    return _replied(call_messages(message), [json.dumps(call, ensure_ascii=False)]) | {"tool": tool}


def _first_accepted(accepted: Mapping[str, Any]) -> dict[str, Any]:
    """Each argument's first accepted value; those that may be left out are."""
    first = {name: values[0] for name, values in accepted.items() if "" not in values}
    return {name: _first_accepted(value) if _is_accepted(value) else value for name, value in first.items()}


def _is_accepted(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, list) for one in value.values())


def _replied(asked: Sequence[BaseMessage], replies: Sequence[str]) -> dict[str, Any]:
    counts = Counter(replies)
    answer = max(counts, key=counts.__getitem__)
    references = list(counts)
    messages = plain_messages(asked)
    return {"messages": messages, "answer": answer, "references": references, **_OF_OTHER_KINDS}


def plain_messages(messages: Sequence[BaseMessage]) -> list[Message]:
    """Messages as the plain values that rows hold."""
    return [{"role": _ROLES.get(one.type, one.type), "content": str(one.content)} for one in messages]


def _texts(value: Any) -> list[str]:
    """The texts of a value that is one or many, empty ones left out."""
    given = [value] if isinstance(value, (str, Mapping)) else value or []
    return [text for text in (_text(one).strip() for one in given) if text]


def _turns(values: Values) -> list[Message]:
    if "instruction" in values:
        return [*_alpaca_before(values), _message("assistant", values.get("output"))]
    if "prompt" in values:
        name = next((name for name in _COMPLETIONS if name in values), None)
        if name is None:
            raise ValueError(f"there is a prompt and none of {', '.join(_COMPLETIONS)}.")
        return [*_before(values), *_answered(values[name])[-1:]]
    for name in ("messages", "conversations", "conversation"):
        if name in values:
            return _system(values) + _messages(values[name])
    raise ValueError(
        "expected messages, conversations, instruction and output, prompt and completion, text and summary, or "
        f"question, passages and answers; the columns are {', '.join(map(repr, values))}."
    )


def _before(values: Values) -> list[Message]:
    """The turns before the answer where they have a column of their own."""
    if "instruction" in values:
        return _alpaca_before(values)
    for name in ("prompt", "messages", "conversations"):
        if name in values:
            given = values[name]
            return _system(values) + ([_message("user", given)] if isinstance(given, str) else _messages(given))
    return []


def _alpaca_before(values: Values) -> list[Message]:
    asked = _text(values["instruction"])
    more = _text(values.get("input") or "")
    earlier = [
        message
        for question, answer in values.get("history") or []
        for message in (_message("user", question), _message("assistant", answer))
    ]
    return [*_system(values), *earlier, _message("user", f"{asked}\n\n{more}" if more.strip() else asked)]


def _system(values: Values) -> list[Message]:
    given = values.get("system")
    return [_message("system", given)] if isinstance(given, str) and given.strip() else []


def _answered(value: Any) -> list[Message]:
    """The turns of an answer given as a text, one message or a conversation that ends with it."""
    if isinstance(value, str):
        return [_message("assistant", value)]
    turns = _messages([value] if isinstance(value, Mapping) else value)
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError("an answer does not end with the assistant's turn.")
    return turns


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"the conversation is of type {type(value).__name__}, expected a list of messages.")
    found = []
    for one in value:
        if not isinstance(one, Mapping):
            raise ValueError(f"a message is of type {type(one).__name__}, expected {{role, content}}.")
        role = str(one.get("role", one.get("from")))
        if role not in _ROLES:
            raise ValueError(f"a message has the role {role!r}; known are {', '.join(_ROLES)}.")
        found.append(_message(_ROLES[role], one.get("content", one.get("value"))))
    return found


def _message(role: str, content: Any) -> Message:
    return {"role": role, "content": _text(content).strip()}


def _text(value: Any) -> str:
    """A text given as one, as `{text}` or as a list of text parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _text(value.get("text", value.get("value", "")))
    if isinstance(value, Sequence):
        return "".join(map(_text, value))
    if value is None:
        return ""
    raise ValueError(f"a text is of type {type(value).__name__}, expected text.")
