"""llama.cpp as a reader of our GGUF files, where llama-cpp-python is installed."""

from __future__ import annotations

from typing import Any


def llama_without_amx() -> Any:
    """Its model class without its own AMX buffers: release 0.3.36 ends in a segmentation fault in them."""
    import llama_cpp

    made = llama_cpp.llama_cpp.llama_model_default_params

    def parameters() -> Any:
        found = made()
        found.use_extra_bufts = False
        return found

    llama_cpp.llama_cpp.llama_model_default_params = parameters
    return llama_cpp.Llama
