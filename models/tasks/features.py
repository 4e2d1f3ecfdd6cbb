"""Feature extraction: a vector for every token of a text, from the last layer of any encoder, and their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.tasks.base import TaskModel, as_texts
from models.tasks.windows import batches, padded, windows_of

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenFeatures:
    """The tokens of a text (no special ones), each with its offsets and vector; `vectors` has shape (tokens, size)."""

    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    vectors: NDArray[np.float32]

    def mean(self) -> NDArray[np.float32]:
        """The mean of all token vectors, shape (size,)."""
        mean: NDArray[np.float32] = self.vectors.mean(0)
        return mean

    def to_json(self) -> dict[str, Any]:
        """`{tokens, offsets, vectors}`."""
        return {
            "tokens": list(self.tokens),
            "offsets": [list(pair) for pair in self.offsets],
            "vectors": self.vectors.tolist(),
        }


class FeatureExtractor(TaskModel):
    """Any encoder's last hidden states.

    A text longer than the window is read in overlapping windows; each token's vector is of the window where it stands
    furthest from an edge.
    """

    role_name = "features"

    def __call__(self, text: str) -> TokenFeatures:
        """The features of one text; see `many`."""
        return self.many([text])[0]

    def many(self, texts: Sequence[str]) -> list[TokenFeatures]:
        """The features of each text, in order.

        Raises:
            EmptyText: a text is empty.
        """
        import numpy as np

        found = as_texts(texts)
        tokenizer = self.load().tokenizer
        windows = windows_of(tokenizer, found, window=self.window, stride=self.window // 4)
        best: list[dict[tuple[int, int, str], tuple[int, Any]]] = [{} for _ in found]
        for indices in batches(windows):
            states = self._forward(**padded(tokenizer, [windows[index] for index in indices])).last_hidden_state
            states = states.float().cpu().numpy()
            for row, index in enumerate(indices):
                window = windows[index]
                shift = states.shape[1] - len(window) if tokenizer.padding_side == "left" else 0
                names = tokenizer.convert_ids_to_tokens(window.inputs["input_ids"])
                for at, body in enumerate(window.body):
                    key = (*window.offsets[at], names[at])
                    margin = min(at, len(window) - 1 - at)
                    known = best[window.sample].get(key)
                    if body and (known is None or margin > known[0]):
                        best[window.sample][key] = (margin, states[row, at + shift])
        results = []
        for text in best:
            order = sorted(text)
            vectors = np.stack([text[key][1] for key in order])
            results.append(
                TokenFeatures(tuple(key[2] for key in order), tuple((key[0], key[1]) for key in order), vectors)
            )
        return results


def mean_vectors(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of each row's token vectors, scaled to length 1.

    Args:
        states: Shape (rows, tokens, size), float32.
        mask: Shape (rows, tokens), 1 for a token and 0 for padding.
    """
    from torch.nn import functional

    kept = mask.unsqueeze(-1).float()
    return functional.normalize((states * kept).sum(1) / kept.sum(1), dim=-1)
