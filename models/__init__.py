"""The models room: Hugging Face models on this machine, wrapped as LangChain chat models and embeddings.

Names are resolved on first use, so importing the room loads no torch and no transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from models.environment import go_offline

go_offline()

if TYPE_CHECKING:
    from models.chat import LocalChatModel, open_chat_model
    from models.embeddings import LocalEmbeddings, open_embeddings
    from models.errors import ModelError
    from models.home import data_home

__all__ = ["LocalChatModel", "LocalEmbeddings", "ModelError", "data_home", "open_chat_model", "open_embeddings"]

_HOMES = {
    "LocalChatModel": "models.chat",
    "LocalEmbeddings": "models.embeddings",
    "ModelError": "models.errors",
    "data_home": "models.home",
    "open_chat_model": "models.chat",
    "open_embeddings": "models.embeddings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
