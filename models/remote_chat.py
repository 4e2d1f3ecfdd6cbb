"""What every remote chat model does alike, whatever package speaks to its server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream, generate_from_stream
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from models.catalog import Entry
from models.endpoint import Endpoint
from models.errors import ModelError
from models.generation import EitherEvent, in_thread
from models.prompts import prompt_limit
from models.remote import RemoteOptions, about_tokens, about_tokens_of, answered, explain, split_options


class RemoteChat(BaseChatModel):
    """Comes before a package's own chat model among the bases: exact stop strings, cancellation, errors in a sentence.

    Calls take `cancel` as LocalChatModel's do; `prompt_lookup` and `user` are accepted and stay here. Every answer is
    streamed from the server, also where the caller wants it whole, so that it can be cancelled.
    """

    families: ClassVar[tuple[type[BaseException], ...]] = (OSError,)
    """The errors of the package and of what it stands on."""
    _name: str = PrivateAttr()
    _endpoint: Endpoint = PrivateAttr()
    _options: RemoteOptions = PrivateAttr()
    _max_new_tokens: int = PrivateAttr()

    def settle(self, entry: Entry, options: RemoteOptions, max_new_tokens: int) -> None:
        """Takes what the class's own `open` was told."""
        assert entry.endpoint is not None, f"{entry.name} is not remote"
        self._name, self._endpoint = entry.label, entry.endpoint
        self._options, self._max_new_tokens = options, max_new_tokens
        self.profile = ModelProfile(max_input_tokens=self.max_input_tokens, max_output_tokens=max_new_tokens)

    @property
    def model(self) -> str:
        """The name a person knows the model by: its address."""
        return self._name

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of one answer."""
        return self._max_new_tokens

    @property
    def endpoint(self) -> Endpoint:
        """Where the model is served."""
        return self._endpoint

    @property
    def max_input_tokens(self) -> int:
        """Most prompt tokens of one call, by the context that the settings give."""
        return prompt_limit(self._options.context_tokens, self._max_new_tokens)

    def get_num_tokens(self, text: str) -> int:
        """About how many tokens a text has: the packages' own ways download a tokenizer."""
        return about_tokens(text)

    def get_token_ids(self, text: str) -> list[int]:
        """As many numbers as the text has tokens, about; they are good for counting only."""
        return list(range(about_tokens(text)))

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None, **_: Any
    ) -> int:
        """About how many tokens a conversation has."""
        return about_tokens_of(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        options, cancel = split_options(kwargs)
        begin = super()._stream  # the package's
        yield from answered(
            lambda: begin(messages, stop=stop, **options), stops=stop or [], cancel=cancel, translate=self._explain
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        stream: bool | None = None,
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
            left.set()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        stream: bool | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _explain(self, error: Exception) -> ModelError | None:
        return explain(error, self._endpoint, self._options, self.families)
