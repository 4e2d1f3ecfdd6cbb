"""The one place that knows all the parts: opens models and library from the settings and wires them together.

Everything is opened on first use and kept, so a verb that lists documents never loads a chat model.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent.settings import Settings

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from agent.assistant import Assistant
    from models import LocalChatModel
    from retrieval import Library


class House:
    """The parts of one data home, opened lazily and shared; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._embeddings: Embeddings | None = None
        self._library: Library | None = None
        self._chat_model: LocalChatModel | None = None
        self._assistant: Assistant | None = None
        self._converting = False

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.settings.home

    def embeddings(self) -> Embeddings:
        """The embedding model that the settings name; its weights load at first use."""
        with self._lock:
            if self._embeddings is None:
                from models import open_embeddings

                self._embeddings = open_embeddings(self.settings.embed_model, home=self.home)
            return self._embeddings

    def library(self) -> Library:
        """The person's documents; nothing is created on disk until something is added."""
        with self._lock:
            if self._library is None:
                self._library = self.library_at(self.settings.library_path)
            return self._library

    def library_at(self, path: Path) -> Library:
        """Another library with the same embedding model, such as an evaluation's; the caller closes it."""
        from retrieval import Library

        return Library.open(path, self.embeddings())

    def chat_model(self) -> LocalChatModel:
        """The chat model that the settings name; its weights load at first use."""
        with self._lock:
            if self._chat_model is None:
                from models import open_chat_model

                self._chat_model = open_chat_model(
                    self.settings.chat_model,
                    home=self.home,
                    max_new_tokens=self.settings.max_new_tokens,
                    temperature=self.settings.temperature,
                    engine=self.settings.engine,
                )
            return self._chat_model

    def assistant(self) -> Assistant:
        """The assistant over this home's library and models."""
        with self._lock:
            if self._assistant is None:
                from agent.assistant import Assistant

                self._assistant = Assistant(self.chat_model(), self.library(), self.settings)
            return self._assistant

    def warm_up(self) -> None:
        """Load the models and, where the chat model has a faster form, begin to make it in the background."""
        self.embeddings().embed_query("warm up")
        self.chat_model().load()
        self.chat_model().begin_conversion()
        self._converting = True

    def close(self) -> None:
        """Close the library and end a conversion that still runs; loaded models are left to the process."""
        with self._lock:
            if self._converting:
                self.chat_model().stop_conversion()
                self._converting = False
            if self._library is not None:
                self._library.close()
                self._library = None
            self._assistant = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
