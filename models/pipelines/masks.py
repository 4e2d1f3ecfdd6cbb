"""Mask generation: every object of a picture as a mask file with its box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.pipelines.results import Box, ObjectMask

if TYPE_CHECKING:
    from models.pipelines.options import Masks
    from models.pipelines.writing import Writer


def mask(pipe: Any, given: dict[str, Any], options: Masks, writer: Writer) -> list[ObjectMask]:
    """The masks, best first; a picture without objects gives none."""
    import numpy as np
    from PIL import Image

    found = pipe(
        given["image"],
        points_per_crop=options.points_per_side,
        pred_iou_thresh=options.quality,
        stability_score_thresh=options.stability,
        crops_nms_thresh=options.overlap,
    )
    objects = []
    for area, score in zip(found["masks"], found["scores"], strict=True):
        rows, columns = np.nonzero(area.any(1))[0], np.nonzero(area.any(0))[0]
        if not len(rows):
            continue
        box = Box(left=int(columns[0]), top=int(rows[0]), right=int(columns[-1]), bottom=int(rows[-1]))
        picture = Image.fromarray(area.astype(np.uint8) * 255)
        objects.append(ObjectMask(mask=writer.picture(picture, "mask"), score=score, box=box))
    return objects
