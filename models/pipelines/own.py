"""Two of transformers' pipelines without torchvision, which has no build for every torch: same names, same results.

Only what they asked torchvision for is done here: overlapping masks, and a check at the start.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AnyToAnyPipeline as _AnyToAnyPipeline
from transformers import MaskGenerationPipeline as _MaskGenerationPipeline


class MaskGenerationPipeline(_MaskGenerationPipeline):
    """Mask generation whose overlapping masks are dropped here."""

    def postprocess(  # type: ignore[override]
        self, model_outputs: list[dict[str, Any]], crops_nms_thresh: float = 0.7
    ) -> dict[str, list[Any]]:
        """`{masks, scores}`: arrays of bool, shape (height, width), and their predicted quality, best first."""
        masks = [mask for output in model_outputs for mask in output["masks"]]
        scores = torch.cat([output["iou_scores"] for output in model_outputs]).float()
        boxes = torch.cat([output["boxes"] for output in model_outputs]).float()
        kept = without_overlaps(boxes, scores, crops_nms_thresh)
        return {"masks": [unpacked(masks[index]) for index in kept], "scores": [float(scores[i]) for i in kept]}


class AnyToAnyPipeline(_AnyToAnyPipeline):
    """Any-to-any whose start does not demand torchvision, which only its videos need."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super(_AnyToAnyPipeline, self).__init__(*args, **kwargs)


def without_overlaps(boxes: torch.Tensor, scores: torch.Tensor, limit: float) -> list[int]:
    """The boxes to keep, best first: one whose overlap with a better kept one is above `limit` goes.

    Args:
        boxes: Shape (n, 4): left, top, right, bottom.
        scores: Shape (n,).
        limit: Intersection over union, 0 to 1. Source: non-maximum suppression, as in torchvision.ops.nms.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = torch.argsort(scores, descending=True, stable=True)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        corner = torch.maximum(boxes[best, :2], boxes[left, :2])
        sides = (torch.minimum(boxes[best, 2:], boxes[left, 2:]) - corner).clamp(min=0)
        shared = sides[:, 0] * sides[:, 1]
        united = areas[best] + areas[left] - shared
        left = left[~(shared > limit * united)]
    return kept


def unpacked(rle: dict[str, Any]) -> Any:
    """A mask of bool, shape (height, width), from run lengths counted down the columns, the first run being empty."""
    import numpy as np

    height, width = rle["size"]
    values = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(values, rle["counts"]).reshape(width, height).T
