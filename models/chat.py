"""LocalChatModel: a Hugging Face model on this machine as a complete LangChain chat model.

Messages become a prompt, an answer becomes chunks; every caller, sync or async, takes the same path.
"""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import (
    BaseChatModel,
    agenerate_from_stream,
    generate_from_stream,
)
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr

from models.catalog import Entry, find
from models.chat_adapters import ChatSource, adapted_choice, chat_source, load_adapted
from models.device import choose_device
from models.engines.adapted_choice import AdaptedChoice
from models.engines.base import Engine
from models.engines.choice import EngineChoice, EngineName, engine_choice
from models.errors import BadOption, ModelNotFound
from models.files import context_tokens, read_config
from models.generation import Answer, Call, EitherEvent, in_thread
from models.home import data_home
from models.loading import ChatForm, LoadedChat, chat_form, load_chat, load_tokenizer
from models.prompts import count_tokens, prompt_limit, render, render_within
from models.remote import RemoteOptions, open_remote_chat
from models.structured import Method, constraint_of, structured
from models.tool_calls import CallParser, offer

if TYPE_CHECKING:
    from models.remote_chat import RemoteChat

_OPTIONS = (
    *("max_new_tokens", "max_tokens", "temperature", "top_p", "top_k", "seed", "prompt_lookup", "user", "cancel"),
    *("tools", "tool_choice", "response_format"),
)
# What LangChain passes along for its own tracing; nothing here depends on it.
_IGNORED = ("ls_structured_output_format", "strict", "parallel_tool_calls")


def open_chat_model(
    name: str | None = None, *, home: Path, remote: RemoteOptions | None = None, **options: Any
) -> LocalChatModel | RemoteChat:
    """The chat model of that name (None: the embedded default); it loads, or is connected to, at its first use.

    Args:
        name: What `catalog.find` takes: a name, a folder, a file or an address.
        home: The data folder.
        remote: How to reach a model on another machine; without effect on one of this machine.
        options: Fields of LocalChatModel, such as `max_new_tokens`; a remote one takes that and `temperature`.

    Raises:
        ModelNotFound, WrongRole, BadEndpoint: no such chat model, with the nearest known names.
        MissingExtra: a remote model's packages are not installed.
    """
    entry = find(name, "chat", home)
    if entry.kind == "remote":
        taken = {option: options[option] for option in ("max_new_tokens", "temperature") if option in options}
        return open_remote_chat(entry, remote, **taken)
    return LocalChatModel(model=entry.label, home=home, **options)


class LocalChatModel(BaseChatModel):
    """A local model that streams, sync and async, with exact stop strings, token usage and cancellation.

    Each call takes the fields below as keyword arguments, too, and: `cancel`, a threading.Event that ends the answer
    within one token; `prompt_lookup`, for an answer that copies its source; `user`, whose turn in the queue it is.
    `response_metadata["finish_reason"]` is "stop", "length" or "cancelled".
    """

    model: str = Field(default_factory=lambda: find(None, "chat").name)
    """Name in the catalog, hub id or folder."""
    home: Path = Field(default_factory=data_home)
    """The data folder."""
    max_new_tokens: int = Field(default=512, ge=1, alias="max_tokens")
    """Most tokens of one answer; so many of the window are kept free for it."""
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """0 always takes the likeliest token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    engine: EngineName = "auto"
    """"auto" takes OpenVINO once the model is converted and checked, and torch until then; or one of them by name."""
    seed: int | None = None
    """Makes sampled answers repeatable."""
    stop: list[str] = Field(default_factory=list, alias="stop_sequences")
    """Stop strings of every call, beside the call's own."""

    model_config = ConfigDict(populate_by_name=True)
    _entry: Entry = PrivateAttr()
    _source: ChatSource | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Resolves the name, so that an unknown model fails here and not at the first question."""
        super().model_post_init(context)
        self._entry = find(self.model, "chat", self.home)
        if self._entry.kind == "remote":
            raise ModelNotFound(self.model, hint=f"{self.model} is on another machine: open it with open_chat_model.")
        if self.profile is None:
            self.profile = self._profile()

    @property
    def _llm_type(self) -> str:
        return "hearth-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self._entry.label, "temperature": self.temperature, "max_new_tokens": self.max_new_tokens}

    @property
    def source(self) -> ChatSource:
        """Where the model's files are; an embedded model or GGUF file is prepared, an adapter checked with its base."""
        if self._source is None:
            self._source = chat_source(self._entry, self.home)
        return self._source

    @property
    def folder(self) -> Path:
        """The folder with the model's files, an adapter's base where it is one."""
        return self.source.folder

    @property
    def max_input_tokens(self) -> int:
        """Most prompt tokens of one call: the window less the room kept for the answer."""
        window = self._entry.context_tokens or self.source.entry.context_tokens
        return prompt_limit(window or context_tokens(self.folder, read_config(self.folder)), self.max_new_tokens)

    def load(self) -> LoadedChat:
        """Loads the model now, once a process, and gives its parts."""
        source = self.source
        template = source.entry.chat_template
        if source.adapter is not None:
            return load_adapted(source.adapter, source.folder, name=source.entry.label, chat_template=template)
        return load_chat(source.folder, name=self._entry.label, chat_template=template)

    def warm(self) -> None:
        """Opens now what the first answer would open."""
        self._serving()

    def convert(self) -> Path:
        """Makes and checks the faster form of this model now, and gives its folder.

        Raises:
            EngineUnavailable, ConversionFailed, ParityFailed, DoesNotFit: torch serves it.
        """
        from models.engines.openvino_convert import convert

        folder = convert(self.folder, self.home, name=self.source.entry.label)
        choice = self._choice()
        if isinstance(choice, AdaptedChoice):
            choice.check(self.load())
        return folder

    def begin_conversion(self) -> None:
        """Makes the faster form of this model in the background, where one is possible and not there yet."""
        if self.engine == "torch":
            return
        choice = self._choice()
        if isinstance(choice, AdaptedChoice):
            choice.begin_conversion(self.load)
        else:
            choice.begin_conversion()

    def stop_conversion(self) -> None:
        """Ends what `begin_conversion` began, if it still runs."""
        if self.engine != "torch":
            self._choice().stop_conversion()

    def _choice(self) -> EngineChoice | AdaptedChoice:
        """The engines beside torch."""
        source = self.source
        if source.adapter is not None:
            return adapted_choice(source.adapter, source.folder, self.home, self._entry.label)
        return engine_choice(source.folder, self.home, source.entry.label, choose_device().device)

    def _serving(self) -> tuple[ChatForm, Engine]:
        """What answers now; torch's weights stay on the disk where the converted form does."""
        if self.engine != "torch" and (engine := self._choice().engine(self.engine)) is not None:
            return chat_form(self.folder, chat_template=self.source.entry.chat_template), engine
        loaded = self.load()
        return loaded, loaded.engine

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text, without the chat form around it."""
        return count_tokens(self._tokenizer(), text)

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of a text; special tokens in it are encoded as text."""
        ids: list[int] = self._tokenizer().encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Tokens of a whole conversation as the model would be shown it, ready for its next turn."""
        schemas = [convert_to_openai_tool(tool) for tool in tools] if tools else None
        return len(render(self._tokenizer(), messages, model=self._entry.label, tools=schemas))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with tools it may call.

        Args:
            tools: LangChain tools, functions, Pydantic classes or schemas.
            tool_choice: "auto" (None) lets the model choose between words and calls that are always schema-valid;
                "any" or a tool's name makes it call; "none" hides the tools.
            kwargs: Other options of the calls.
        """
        offered = [convert_to_openai_tool(tool) for tool in tools]
        offer(offered, tool_choice)  # a wrong choice fails here and not at the first question
        return self.bind(tools=offered, tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model answering with an object of the schema, which it cannot leave while it writes.

        Args:
            schema: A Pydantic class, a TypedDict or a JSON schema.
            method: "json_schema", "json_mode" (here the same) or "function_calling" (through a tool call).
            include_raw: Give `{"raw", "parsed", "parsing_error"}` and do not raise.
            strict: Accepted and without effect: the grammar is always strict.
            kwargs: Other options of the calls.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return structured(self, schema, method, include_raw, kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call(stop, kwargs)
        if not isinstance(messages[-1], HumanMessage):  # after a tool's result the next thing is words, not a call
            call = replace(call, tool_call_bias=0.0)
        form, engine = self._serving()
        limit = prompt_limit(form.window, call.max_new_tokens)
        tools = call.offer.shown if call.offer.names else None
        prompt = render_within(form.tokenizer, messages, model=self._entry.label, limit=limit, tools=tools)
        answer = Answer(form, engine, prompt, call)
        parser = CallParser(call.offer.names)
        for text in answer:
            for message in parser.feed(text) if tools else [AIMessageChunk(content=text)]:
                yield ChatGenerationChunk(message=message)
        for message in parser.flush():
            yield ChatGenerationChunk(message=message)
        if parser.calls and answer.finish_reason == "stop":
            answer.finish_reason = "tool_calls"
        yield ChatGenerationChunk(message=self._last(answer))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        left = EitherEvent(kwargs.pop("cancel", None))
        try:
            async for chunk in in_thread(lambda: self._stream(messages, stop, None, cancel=left, **kwargs)):
                yield chunk
        finally:
            left.set()  # the reader is done or gone (task cancelled, iterator closed): the model must not go on

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _tokenizer(self) -> Any:
        return load_tokenizer(self.folder, chat_template=self.source.entry.chat_template)

    def _call(self, stop: list[str] | None, kwargs: dict[str, Any]) -> Call:
        for option in kwargs:
            if option not in (*_OPTIONS, *_IGNORED):
                raise BadOption(option, kwargs[option], f"one of the options {', '.join(_OPTIONS)}")

        def pick(name: str, *, valid: Callable[[Any], bool], expected: str) -> Any:
            value = kwargs.get(name, getattr(self, name))
            if not valid(value):
                raise BadOption(name, value, expected)
            return value

        if "max_tokens" in kwargs:
            kwargs = {**kwargs, "max_new_tokens": kwargs["max_tokens"]}
        return Call(
            max_new_tokens=pick("max_new_tokens", valid=lambda n: _whole(n) and n > 0, expected="1 or more"),
            temperature=pick("temperature", valid=lambda t: _number(t) and t >= 0, expected="a number from 0"),
            top_p=pick("top_p", valid=lambda p: _number(p) and 0 < p <= 1, expected="a number above 0 and up to 1"),
            top_k=pick("top_k", valid=lambda k: _whole(k) and k >= 0, expected="a whole number from 0"),
            seed=pick("seed", valid=lambda s: s is None or _whole(s), expected="a whole number or None"),
            stops=(*self.stop, *(stop or [])),
            prompt_lookup=bool(kwargs.get("prompt_lookup")),
            user=str(kwargs.get("user") or ""),
            cancel=kwargs.get("cancel") or threading.Event(),
            offer=offer(kwargs.get("tools"), kwargs.get("tool_choice")),
            tool_call_bias=self.source.entry.tool_call_bias,
            form=constraint_of(kwargs.get("response_format"), int(kwargs.get("max_new_tokens", self.max_new_tokens))),
        )

    def _last(self, answer: Answer) -> AIMessageChunk:
        count, new = len(answer.prompt), answer.new_tokens
        return AIMessageChunk(
            content="",
            usage_metadata=UsageMetadata(input_tokens=count, output_tokens=new, total_tokens=count + new),
            response_metadata={
                "finish_reason": answer.finish_reason,
                "model_name": self._entry.label,
                "model_provider": "hearth",
            },
            chunk_position="last",
        )

    def _profile(self) -> ModelProfile:
        profile = ModelProfile(
            name=self._entry.label,
            text_inputs=True,
            text_outputs=True,
            image_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            tool_calling=True,
            structured_output=True,
            max_output_tokens=self.max_new_tokens,
        )
        if self._entry.context_tokens:
            profile["max_input_tokens"] = prompt_limit(self._entry.context_tokens, self.max_new_tokens)
        return profile


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
