"""The one place that knows all the parts: opens models and library from the settings and wires them together.

Everything is opened on first use and kept, so a verb that lists documents never loads a chat model.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agent.settings import Settings

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.tools import BaseTool

    from agent.assistant import Assistant
    from agent.mcp_servers import McpServers
    from agent.memory import ThreadMemory
    from agent.request import AnyLibrary
    from agent.routing import Router
    from models import LocalChatModel
    from models.remote import RemoteOptions
    from models.remote_chat import RemoteChat
    from models.serving import Roles
    from models.tasks import Extractor, SupportJudge, Tasks
    from retrieval import Library


class House:
    """The parts of one data home, opened lazily and shared; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._embeddings: Embeddings | None = None
        self._library: Library | None = None
        self._chat_model: LocalChatModel | RemoteChat | None = None
        self._assistant: Assistant | None = None
        self._roles: Roles | None = None
        self._tasks: Tasks | None = None
        self._converting: LocalChatModel | None = None
        self._mcp: McpServers | None = None

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.settings.home

    def roles(self) -> Roles:
        """Which model serves each role, and why."""
        with self._lock:
            if self._roles is None:
                from models.serving import Roles

                self._roles = Roles.by_settings(self)
            return self._roles

    def label_serving(self, role: str, labels: Sequence[str] = ()) -> str:
        """The label, such as `sentiment@2`, of the model that serves a role; empty where a rule does.

        Args:
            role: its name.
            labels: what is to be chosen among: a classifier that was trained on these goes before what serves.
        """
        if labels and (trained := self.tasks().classifier_of(labels)) is not None:
            return trained.name
        return self.roles().serving(role).model

    def tasks(self) -> Tasks:
        """The models for single tasks, each kept once it is opened."""
        with self._lock:
            if self._tasks is None:
                from models.tasks import Tasks

                self._tasks = Tasks(self.home, chat=self.chat_model, embeddings=self.embeddings, roles=self.roles())
            return self._tasks

    def embeddings(self) -> Embeddings:
        """The embedding model that serves; its weights load at first use."""
        with self._lock:
            if self._embeddings is None:
                from models import open_embeddings

                self._embeddings = open_embeddings(
                    self.roles().serving("embed").name,
                    home=self.home,
                    remote=self._remote("embed_key_variable"),
                    engine="torch" if self.settings.engine == "torch" else "auto",
                    cache=self.settings.embed_cache == "on",
                )
            return self._embeddings

    def library(self) -> Library:
        """The person's documents; nothing is created on disk, or on a server, until something is added."""
        with self._lock:
            if self._library is None:
                self._library = self.library_at(self.settings.library_url or self.settings.library_path)
            return self._library

    def library_opener(self) -> Callable[[], Library]:
        """What opens the same library, with models of its own, in another process; it can be pickled."""
        return functools.partial(_opened_library, self.settings)

    def library_at(self, path: Path | str) -> Library:
        """Another library with the same models, such as an evaluation's; the caller closes it.

        Found passages are reranked where a model serves that role; pictures and recordings are read where
        models serve vision and speech.
        """
        from agent.media import media_models
        from retrieval import Library

        media = media_models(self.roles(), self.home)
        reranker = _Reranker(self) if self.roles().serving("rerank").name else None
        return Library.open(path, self.embeddings(), reranker, models=media)

    def chat_model(self) -> LocalChatModel | RemoteChat:
        """The chat model that serves; its weights load at first use."""
        with self._lock:
            if self._chat_model is None:
                self._chat_model = self._open_chat(self.roles().serving("chat").name, self.settings)
            return self._chat_model

    def talker(self, settings: Settings | None = None) -> LocalChatModel | RemoteChat | None:
        """Who says what needs no document, where that is not the chat model.

        A chat adapter that came with Hearth has learned its jobs, and a few words for each; plain talk is left to its
        base, which lies in memory with it.
        """
        roles = self.roles()
        came = roles.registry.shipped_for("chat") if roles.serving("chat").origin == "shipped" else None
        base = came and came.facts.base
        return self._open_chat(base.name, settings or self.settings) if base else None

    def _open_chat(self, name: str | None, settings: Settings) -> LocalChatModel | RemoteChat:
        from models import open_chat_model

        return open_chat_model(
            name,
            home=self.home,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            engine=settings.engine,
            remote=self._remote("chat_key_variable"),
        )

    def chat_labels(self) -> list[str]:
        """The chat models of this machine, the one that serves first, then those that were trained, newest first."""
        trained = [version.label for version in self.roles().registry.versions() if version.role == "chat"]
        return list(dict.fromkeys([self.roles().serving("chat").model, *reversed(trained)]))

    def tuned(
        self,
        assistant: Assistant,
        *,
        chat_model: str = "",
        temperature: float,
        max_new_tokens: int,
        answer_in: str | None = None,
    ) -> Assistant:
        """An assistant with the same library, threads and tools, whose replies are written otherwise.

        Args:
            assistant: one of this house.
            chat_model: a label of `chat_labels`; empty takes the one that serves.
            temperature: as the setting of that name.
            max_new_tokens: as the setting of that name.
            answer_in: the code of a language of `answer_languages`; None is the question's.

        Raises:
            ModelNotFound, WrongRole: no such chat model.
        """
        settings = replace(assistant.settings, temperature=temperature, max_new_tokens=max_new_tokens)
        serving = self.roles().serving("chat")
        model = self._open_chat(chat_model or serving.name, settings)
        talker = self.talker(settings) if chat_model in ("", serving.model) else None
        languages = assistant.languages and replace(assistant.languages, answer_in=answer_in)
        return replace(assistant, chat_model=model, talker=talker, settings=settings, languages=languages, house=None)

    def answer_languages(self) -> tuple[str, ...]:
        """The codes of the languages that an answer can be translated to; none where no translation model can serve."""
        from models.errors import ModelError

        try:
            if not self.roles().serving("translate").name:
                return ()
            translator = self.tasks().translator()
            if translator.narrow:  # of answers to all kinds of questions it would decline most
                return ()
            sources, targets = translator.languages
        except ModelError:  # the first translation says what is wrong with it; other questions need none
            return ()
        return targets if "en" in sources else ()

    def _remote(self, key_setting: str) -> RemoteOptions:
        from models.remote import RemoteOptions

        return RemoteOptions(
            self.settings.key(key_setting), self.settings.chat_context_tokens, self.settings.remote_timeout_seconds
        )

    def memory(self) -> ThreadMemory:
        """The threads of this home; nothing is created on disk until a turn is kept."""
        from agent.memory import FILE_NAME, ThreadMemory

        return ThreadMemory(self.home / "chats" / FILE_NAME)

    def tools(self, library: AnyLibrary) -> list[BaseTool]:
        """What the assistant may call: Hearth's own tools over that library, and those of the MCP servers."""
        from agent.tools import build_tools

        return [*build_tools(self, lambda: library), *self._mcp_tools()]

    def _mcp_tools(self) -> list[BaseTool]:
        if not self.settings.mcp:
            return []
        from agent.mcp_servers import McpServers

        with self._lock:
            if self._mcp is None:
                self._mcp = McpServers(self.settings.mcp, self.settings.tool_timeout_seconds)
        return self._mcp.tools()

    def judge(self) -> SupportJudge | None:
        """What judges whether a passage supports a sentence, where a model serves that role."""
        # Without one the task models are left alone, as they bring in torch.
        return self.tasks().support() if self.roles().serving("support").name else None

    def reader(self) -> Extractor | None:
        """What points at the words of a passage that answer, where a model serves that role."""
        return self.tasks().reader() if self.roles().serving("extract").name else None

    def router(self) -> Router | None:
        """What chooses among the tools, None where only the rule is left."""
        # As with the judge: without one, torch stays away.
        return self.tasks().router() if self.roles().serving("route").name else None

    def assistant(self) -> Assistant:
        """The assistant over this home's library and models."""
        with self._lock:
            if self._assistant is None:
                from agent.assistant import Assistant
                from agent.language import LanguageBridge

                self._assistant = Assistant(
                    *(self.chat_model(), self.library(), self.settings),
                    talker=self.talker(),
                    memory=self.memory(),
                    languages=LanguageBridge.of(self),
                    tools=self.tools,
                    router=self.router,
                    judge=self.judge,
                    reader=self.reader,
                    serving=self.label_serving,
                    house=self,
                )
            return self._assistant

    def warm_up(self) -> None:
        """Load this machine's models and begin to make their faster forms, where they have some, beside them."""
        from models import LocalChatModel, LocalEmbeddings

        if isinstance(embeddings := self.embeddings(), LocalEmbeddings):
            embeddings.embed_query("warm up")
            embeddings.begin_conversion()
        if (reranker := self.tasks().reranker()) is not None:
            reranker.load()
        if isinstance(chat_model := self.chat_model(), LocalChatModel):
            chat_model.warm()
            chat_model.begin_conversion()
            self._converting = chat_model
        if (router := self.router()) is not None:
            router.route("warm up", self.assistant().use.toolbox.descriptions)

    def close(self) -> None:
        """Close the library and end conversions that still run; loaded models are left to the process."""
        with self._lock:
            if self._converting is not None:
                self._converting.stop_conversion()
                self._converting = None
            if (stop := getattr(self._embeddings, "stop_conversion", None)) is not None:
                stop()
            if self._mcp is not None:
                self._mcp.close()
                self._mcp = None
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


class _Reranker:
    """The reranker that serves, opened at its first use: it brings in torch, which a list of documents needs not."""

    def __init__(self, house: House) -> None:
        self._house = house

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Scores as the model gives them; all alike where none serves any more."""
        reranker = self._house.tasks().reranker()
        return reranker.rerank(query, texts) if reranker is not None else [0.0] * len(texts)


def _opened_library(settings: Settings) -> Library:
    return House(settings).library()
