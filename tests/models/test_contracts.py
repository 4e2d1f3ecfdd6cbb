"""langchain_tests' contract classes: the unit ones on tiny models, the integration ones on the embedded models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from models.chat import LocalChatModel
from models.embeddings import LocalEmbeddings


class _Chat:
    """What both chat suites are told about the model: every capability of a model that reads text only."""

    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    returns_usage_metadata = True
    supports_anthropic_inputs = False  # images and documents as blocks: the model reads text only
    supports_model_override = False  # one object is one loaded model

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return LocalChatModel


class TestTinyChatModel(_Chat, ChatModelUnitTests):
    @pytest.fixture(autouse=True)
    def _folders(self, tiny_chat_folder: Path, tmp_path: Path) -> None:
        self.folder, self.home = tiny_chat_folder, tmp_path

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": str(self.folder), "home": self.home}


@pytest.mark.real_model
class TestEmbeddedChatModel(_Chat, ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _embedded(self, prepared_models: Path) -> None:
        self.home = prepared_models  # one home for all tests, so the model is loaded once

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"home": self.home, "max_new_tokens": 256}


class TestTinyEmbeddings(EmbeddingsUnitTests):
    @pytest.fixture(autouse=True)
    def _folders(self, tiny_encoder_folder: Path, tmp_path: Path) -> None:
        self.folder, self.home = tiny_encoder_folder, tmp_path

    @property
    def embeddings_class(self) -> type[LocalEmbeddings]:
        return LocalEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": str(self.folder), "home": self.home}


@pytest.mark.real_model
class TestEmbeddedEmbeddings(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _embedded(self, prepared_models: Path) -> None:
        self.home = prepared_models  # one home for all tests, so the model is loaded once

    @property
    def embeddings_class(self) -> type[LocalEmbeddings]:
        return LocalEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"home": self.home}
