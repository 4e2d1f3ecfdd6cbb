"""Late interaction: each word of a query looks for its nearest word in a text, and the mean of these cosines counts.

Query and text are read apart, so what a sentence encoder knows of any subject stays, and few rows teach it to rank.
Source: Khattab and Zaharia 2020, https://arxiv.org/abs/2004.12832.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LATE = "late_interaction"
"""The key of config.json that says true where an encoder was trained for this."""


def nearest(query: torch.Tensor, texts: torch.Tensor, text_mask: torch.Tensor) -> torch.Tensor:
    """The cosine of each token of queries with the nearest token of each text, shape (queries, texts, query tokens).

    Args:
        query: Token vectors of any length, shape (queries, query tokens, size).
        texts: The same of texts, shape (texts, tokens, size).
        text_mask: Shape (texts, tokens), 1 for a token and 0 for padding.
    """
    import torch
    from torch.nn import functional

    words, others = functional.normalize(query.float(), dim=-1), functional.normalize(texts.float(), dim=-1)
    cosines = torch.einsum("qid,tjd->qtij", words, others)
    return cosines.masked_fill(text_mask[None, :, None] == 0, -1.0).amax(-1)
