"""A chat model that says what it is told to, one word at a time, and remembers what it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
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
