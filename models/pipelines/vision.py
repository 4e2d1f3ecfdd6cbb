"""The tasks on pictures and videos: each takes a pipeline, the decoded inputs, the options and a writer for files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.pipelines.media import read_video
from models.pipelines.results import Box, Depth, Detection, Match, Point, ScoredLabel, Segment, Vector

if TYPE_CHECKING:
    from models.pipelines.options import Matches, Options, OwnLabels, OwnThings, Segments, Threshold, TopLabels
    from models.pipelines.writing import Writer


def classify(pipe: Any, given: dict[str, Any], options: TopLabels, writer: Writer) -> list[ScoredLabel]:
    """The model's labels for a picture."""
    return scored(pipe(given["image"], top_k=options.top_k))


def label(pipe: Any, given: dict[str, Any], options: OwnLabels, writer: Writer) -> list[ScoredLabel]:
    """One's own labels for a picture."""
    return scored(pipe(given["image"], candidate_labels=options.labels))


def detect(pipe: Any, given: dict[str, Any], options: Threshold, writer: Writer) -> list[Detection]:
    """The objects of the model's own kinds, surest first."""
    return _detections(pipe(given["image"], threshold=options.threshold), given["image"])


def find(pipe: Any, given: dict[str, Any], options: OwnThings, writer: Writer) -> list[Detection]:
    """The things that the labels name, surest first."""
    found = pipe(given["image"], candidate_labels=options.labels, threshold=options.threshold)
    return _detections(found, given["image"])


def segment(pipe: Any, given: dict[str, Any], options: Segments, writer: Writer) -> list[Segment]:
    """The labelled areas, each with its mask's file."""
    asked = {"subtask": options.kind} if options.kind else {}
    return [
        Segment(label=part["label"], score=part["score"], mask=writer.picture(part["mask"], f"area-{part['label']}"))
        for part in pipe(given["image"], threshold=options.threshold, **asked)
    ]


def depth(pipe: Any, given: dict[str, Any], options: Options, writer: Writer) -> Depth:
    """The depth map's file and what its values mean."""
    import numpy as np
    from PIL import Image

    values = pipe(given["image"])["predicted_depth"].float().cpu().numpy()
    low, high = float(values.min()), float(values.max())
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    picture = Image.fromarray(np.round(share * 65535).astype(np.uint16))
    return Depth(picture=writer.picture(picture, "depth"), minimum=low, maximum=high)


def match(pipe: Any, given: dict[str, Any], options: Matches, writer: Writer) -> list[Match]:
    """The points that two pictures share, surest first."""
    return [
        Match(first=_point(pair["keypoint_image_0"]), second=_point(pair["keypoint_image_1"]), score=pair["score"])
        for pair in pipe([given["image"], given["other"]], threshold=options.threshold)
    ]


def embed(pipe: Any, given: dict[str, Any], options: Options, writer: Writer) -> Vector:
    """The picture's vector: of models of pictures and texts their shared one, of others the mean over all places."""
    import torch

    model = pipe.model
    inputs = pipe.image_processor(given["image"], return_tensors="pt").to(model.device, model.dtype)
    with torch.inference_mode():
        if hasattr(model, "get_image_features"):
            found = model.get_image_features(**inputs)
            vector = found if isinstance(found, torch.Tensor) else found.pooler_output
        else:
            states = model(**inputs).last_hidden_state
            # (1, places, size) of a transformer, (1, size, height, width) of a convolutional network
            vector = states.mean(1) if states.ndim == 3 else states.mean((2, 3))
    return Vector(vector=vector[0].float().cpu().tolist())


def classify_video(pipe: Any, given: dict[str, Any], options: TopLabels, writer: Writer) -> list[ScoredLabel]:
    """The model's labels for a video, from as many frames as it was trained on."""
    import torch

    model = pipe.model
    frames = read_video(given["video"], int(model.config.num_frames))
    inputs = pipe.image_processor(frames, return_tensors="pt").to(model.device, model.dtype)
    with torch.inference_mode():
        outputs = model(**inputs)
    return scored(pipe.postprocess(outputs, top_k=options.top_k))


def scored(found: list[dict[str, Any]]) -> list[ScoredLabel]:
    """Labels and scores alone, best first."""
    labels = [ScoredLabel(label=str(one["label"]), score=float(one["score"])) for one in found]
    return sorted(labels, key=lambda one: -one["score"])


def _detections(found: list[dict[str, Any]], picture: Any) -> list[Detection]:
    """Boxes cut to the picture: models may draw them over its edge."""
    detections = [
        Detection(label=str(one["label"]), score=float(one["score"]), box=_inside(one["box"], picture)) for one in found
    ]
    return sorted(detections, key=lambda one: -one["score"])


def _point(place: dict[str, Any]) -> Point:
    return Point(x=float(place["x"]), y=float(place["y"]))


def _inside(box: dict[str, int], picture: Any) -> Box:
    right, bottom = picture.width - 1, picture.height - 1
    return Box(
        left=min(max(box["xmin"], 0), right),
        top=min(max(box["ymin"], 0), bottom),
        right=min(max(box["xmax"], 0), right),
        bottom=min(max(box["ymax"], 0), bottom),
    )
