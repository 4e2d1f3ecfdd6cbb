"""How this chat's questions are answered: the model, its temperature, the length, the strategy, as the person sets it.

What the page sends is only ever read through `preferences()`, which takes nothing but what the widgets can give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import chainlit as cl
from chainlit.context import context
from chainlit.input_widget import InputWidget, Select, Slider

from agent.settings import Settings
from chat.backstage import AssistantLike, Backstage

_SESSION_KEY = "tuned"
_AS_SET = ""
# What the page's lists say for it, as they take no empty value.
_USUAL = "usual"
_STRATEGIES = {"The router picks one tool": "router", "The model calls tools itself": "loop"}
_REACHES = {"As the question wants": "auto", "From the best passages, always": "best", "Every document in turn": "all"}
_MOST_TEMPERATURE, _LEAST_TOKENS, _MOST_TOKENS, _TOKEN_STEP = 2.0, 32, 2048, 32


@dataclass(frozen=True)
class Preferences:
    """The choices of one session; empty are the configured model and strategy, and the question's language."""

    model: str
    temperature: float
    max_new_tokens: int
    strategy: str = _AS_SET
    over: str = "auto"
    answer_in: str = _AS_SET

    def options(self) -> dict[str, Any]:
        """Those that are said with a question, as the assistant's options."""
        strategy = {"strategy": self.strategy} if self.strategy else {}
        return strategy | ({"over": self.over} if self.over != "auto" else {})


@dataclass(frozen=True)
class Known:
    """What can be chosen: the labels of the chat models, the one that serves first, and the codes of languages."""

    models: Sequence[str]
    languages: Sequence[str] = ()


async def offer(backstage: Backstage) -> None:
    """Give the page its settings, filled with what is configured or was chosen before."""
    known = await asyncio.to_thread(_known, backstage)
    chosen = read(context.session.chat_settings or {}, backstage.settings, known)
    await cl.ChatSettings(_widgets(known, chosen)).send()


def preferences(backstage: Backstage) -> Preferences:
    """What this session's person chose; whatever is no possible choice counts as not chosen. Looks up models, too."""
    return read(context.session.chat_settings or {}, backstage.settings, _known(backstage))


def read(values: Mapping[str, Any], settings: Settings, known: Known) -> Preferences:
    """The choices in what a page sent, by the widgets' names."""
    return Preferences(
        model=_one_of(values.get("model"), known.models[1:], _AS_SET),
        temperature=_number(values.get("temperature"), 0.0, _MOST_TEMPERATURE, settings.temperature),
        max_new_tokens=int(_number(values.get("max_new_tokens"), 1, _MOST_TOKENS, settings.max_new_tokens)),
        strategy=_one_of(values.get("strategy"), _STRATEGIES.values(), _AS_SET),
        over=_one_of(values.get("over"), _REACHES.values(), "auto"),
        answer_in=_one_of(values.get("answer_in"), known.languages, _AS_SET),
    )


def as_preferred(backstage: Backstage, assistant: AssistantLike, chosen: Preferences) -> AssistantLike:
    """The assistant as this session wants it, kept until that changes; may look up a model, so call it in a thread."""
    settings = backstage.settings
    wanted = (chosen.model, chosen.temperature, chosen.max_new_tokens, chosen.answer_in)
    if wanted == (_AS_SET, settings.temperature, settings.max_new_tokens, _AS_SET):
        return assistant
    kept: tuple[Any, AssistantLike] | None = cl.user_session.get(_SESSION_KEY)
    if kept is None or kept[0] != wanted:
        tuned = backstage.house.tuned(
            assistant,
            chat_model=chosen.model,
            temperature=chosen.temperature,
            max_new_tokens=chosen.max_new_tokens,
            answer_in=chosen.answer_in or None,
        )
        kept = (wanted, tuned)
        cl.user_session.set(_SESSION_KEY, kept)
    return kept[1]


def _known(backstage: Backstage) -> Known:
    return Known(backstage.house.chat_labels(), backstage.house.answer_languages())


def _widgets(known: Known, chosen: Preferences) -> list[InputWidget]:
    labels = known.models
    models = {f"{labels[0]} (serves now)": labels[0]} | {label: label for label in labels[1:]}
    return [
        Select(
            id="model",
            label="Chat model",
            items=models,
            initial_value=chosen.model or labels[0],
            description="For this chat alone; the command /status shows what serves every role.",
        ),
        Slider(
            id="temperature",
            label="Temperature",
            initial=chosen.temperature,
            min=0,
            max=_MOST_TEMPERATURE,
            step=0.1,
            description="0 always takes the likeliest word; more varies.",
        ),
        Slider(
            id="max_new_tokens",
            label="Longest answer, in tokens",
            initial=chosen.max_new_tokens,
            min=_LEAST_TOKENS,
            max=_MOST_TOKENS,
            step=_TOKEN_STEP,
            description="A token is about three quarters of a word.",
        ),
        _select("strategy", "Who picks the tools", {"As configured": _USUAL} | _STRATEGIES, chosen.strategy),
        _select("over", "How documents are read", _REACHES, chosen.over),
        *([_language_widget(known.languages, chosen.answer_in)] if known.languages else []),
    ]


def _language_widget(codes: Sequence[str], chosen: str) -> InputWidget:
    from models.tasks.language_codes import language_name

    named = {language_name(code): code for code in codes}
    items = {"The question's language": _USUAL} | dict(sorted(named.items()))
    return _select("answer_in", "Language of the answers", items, chosen)


def _select(name: str, label: str, items: dict[str, str], chosen: str) -> InputWidget:
    return Select(id=name, label=label, items=items, initial_value=chosen or _USUAL)


def _one_of(value: Any, known: Any, otherwise: str) -> str:
    return value if isinstance(value, str) and value in known else otherwise


def _number(value: Any, least: float, most: float, otherwise: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and least <= value <= most else otherwise
