"""A chat model that says what it is told to, one word at a time, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field


class ScriptedChatModel(BaseChatModel):
    """Streams `replies` in turn, the last one for ever; counts a token a word."""

    replies: list[str]
    window_tokens: int = 2000
    seconds_a_word: float = 0.0
    asked: list[list[BaseMessage]] = Field(default_factory=list)
    words_sent: int = 0
    error: Exception | None = None

    def model_post_init(self, context: Any) -> None:
        """Give the window the way real models do."""
        super().model_post_init(context)
        self.profile = {"max_input_tokens": self.window_tokens}

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def get_num_tokens(self, text: str) -> int:
        """One token a word."""
        return len(text.split())

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        cancel: threading.Event = kwargs.get("cancel") or threading.Event()
        self.asked.append(messages)
        if self.error:
            raise self.error
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        for index, word in enumerate(reply.split(" ")):
            if cancel.is_set():
                break
            time.sleep(self.seconds_a_word)
            self.words_sent += 1
            yield ChatGenerationChunk(message=AIMessageChunk(content=word if index == 0 else f" {word}"))
        usage = {"input_tokens": 7, "output_tokens": len(reply.split()), "total_tokens": 7 + len(reply.split())}
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=usage, response_metadata={"finish_reason": "stop"})
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = "".join(str(chunk.message.content) for chunk in self._stream(messages, stop, run_manager, **kwargs))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class ToolCallingModel(ScriptedChatModel):
    """Gives `turns` one after another, the last one for ever: a reply in words, or calls as (tool, arguments).

    `offered` remembers the tools of each call with the choice that was asked for.
    """

    replies: list[str] = Field(default_factory=list)
    turns: list[str | list[tuple[str, dict[str, Any]]]]
    offered: list[tuple[list[str], Any]] = Field(default_factory=list)

    def bind_tools(self, tools: Any, *, tool_choice: Any = None, **kwargs: Any) -> Any:
        """This model with the tools, as OpenAI's form has them."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        turn = self.turns[min(len(self.asked), len(self.turns) - 1)]
        names = [tool["function"]["name"] for tool in kwargs.get("tools") or []]
        self.offered.append((names, kwargs.get("tool_choice")))
        if isinstance(turn, str):
            self.replies = [turn]
            yield from super()._stream(messages, stop, run_manager, **kwargs)
            return
        self.asked.append(messages)
        calls = [
            tool_call_chunk(name=name, args=json.dumps(arguments), id=f"call{len(self.asked)}{index}", index=index)
            for index, (name, arguments) in enumerate(turn)
        ]
        usage: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", tool_call_chunks=calls, usage_metadata=usage, chunk_position="last")
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))
