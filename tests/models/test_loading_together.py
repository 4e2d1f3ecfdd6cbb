"""Models made by several threads at once, as a page does that warms up while it is asked: each is whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.loading import model_from_files


def test_no_model_lacks_the_weights_that_it_shares_while_others_are_loaded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)

    def absent(auto_class: str) -> list[str]:
        model, missing = model_from_files(tmp_path, auto_class, torch.float32)
        if auto_class == "AutoModelForCausalLM":
            assert model.lm_head.weight is model.model.embed_tokens.weight
        return missing

    with ThreadPoolExecutor(8) as pool:
        assert [one for one in pool.map(absent, ["AutoModelForCausalLM", "AutoModel"] * 60) if one] == []
