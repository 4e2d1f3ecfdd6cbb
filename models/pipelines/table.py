"""The one table of the tasks that run through transformers' pipelines: tool, classes, inputs, options, results.

`elsewhere` holds the tasks that other classes of Hearth serve and those that are not offered; tests compare both with
the transformers that is installed. Nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from models.pipelines import options, results

Kind = Literal["text", "image", "audio", "video"]


@dataclass(frozen=True)
class Input:
    """One thing a task is given: a text, or a path to a local file; one with a default may be left out."""

    name: str
    kind: Kind
    help: str
    default: str | None = None


@dataclass(frozen=True)
class PipelineRow:
    """One task.

    `tool` is the LangChain tool's name and `prompt` what a model reads about it; `call` is the function that runs it,
    in models/pipelines. The model is the first of `model_classes` that its config.json fits; `processors` must be in
    its folder, `optional` may be. Models that write text run in the machine's fast number format, others in float32.
    """

    task: str
    tool: str
    call: str
    pipeline: str
    model_classes: tuple[str, ...]
    processors: tuple[str, ...]
    inputs: tuple[Input, ...]
    options: type[options.Options]
    output: Any
    prompt: str
    examples: tuple[str, ...]
    optional: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()  # where a class alone would let in models without the right outputs
    writes: bool = False


_IMAGE = Input("image", "image", "the path of a picture on this machine")
_OTHER = Input("other", "image", "the path of the second picture")
_AUDIO = Input("audio", "audio", "the path of a recording on this machine")
_VIDEO = Input("video", "video", "the path of a video on this machine, or of a folder with its frames as pictures")

_ROWS = (
    PipelineRow(
        task="image-classification",
        tool="classify_image",
        call="vision.classify",
        pipeline="ImageClassificationPipeline",
        model_classes=("AutoModelForImageClassification",),
        processors=("AutoImageProcessor",),
        inputs=(_IMAGE,),
        options=options.TopLabels,
        output=list[results.ScoredLabel],
        prompt="Tell what a picture shows, with a probability for each label. Use it when the person asks what is in a "
        "picture file. Not for labels of the person's own: use label_image.",
        examples=("google/vit-base-patch16-224",),
    ),
    PipelineRow(
        task="zero-shot-image-classification",
        tool="label_image",
        call="vision.label",
        pipeline="ZeroShotImageClassificationPipeline",
        model_classes=("AutoModelForZeroShotImageClassification",),
        processors=("AutoImageProcessor", "AutoTokenizer"),
        inputs=(_IMAGE,),
        options=options.OwnLabels,
        output=list[results.ScoredLabel],
        prompt="Tell which of the person's own labels fits a picture. Use it when the person names the labels.",
        examples=("openai/clip-vit-base-patch32",),
    ),
    PipelineRow(
        task="object-detection",
        tool="detect_objects",
        call="vision.detect",
        pipeline="ObjectDetectionPipeline",
        model_classes=("AutoModelForObjectDetection",),
        processors=("AutoImageProcessor",),
        inputs=(_IMAGE,),
        options=options.Threshold,
        output=list[results.Detection],
        prompt="List the objects in a picture with their places. Use it when the person asks which or how many things "
        "a picture shows, or where they are.",
        examples=("hustvl/yolos-tiny", "hustvl/yolos-small"),
    ),
    PipelineRow(
        task="zero-shot-object-detection",
        tool="find_objects",
        call="vision.find",
        pipeline="ZeroShotObjectDetectionPipeline",
        model_classes=("AutoModelForZeroShotObjectDetection",),
        processors=("AutoImageProcessor", "AutoTokenizer"),
        inputs=(_IMAGE,),
        options=options.OwnThings,
        output=list[results.Detection],
        prompt="Find the things that the person names in a picture, with their places. Use it when the person says "
        "what to look for.",
        examples=("google/owlvit-base-patch32",),
    ),
    PipelineRow(
        task="image-segmentation",
        tool="segment_image",
        call="vision.segment",
        pipeline="ImageSegmentationPipeline",
        model_classes=(
            "AutoModelForImageSegmentation",
            "AutoModelForSemanticSegmentation",
            "AutoModelForUniversalSegmentation",
            "AutoModelForInstanceSegmentation",
        ),
        processors=("AutoImageProcessor",),
        optional=("AutoTokenizer",),
        inputs=(_IMAGE,),
        options=options.Segments,
        output=list[results.Segment],
        prompt="Divide a picture into labelled areas, each as a mask file. Use it when the person wants the outline of "
        "things or a picture cut into its parts.",
        examples=("nvidia/segformer-b0-finetuned-ade-512-512", "facebook/mask2former-swin-tiny-coco-panoptic"),
    ),
    PipelineRow(
        task="mask-generation",
        tool="mask_objects",
        call="masks.mask",
        pipeline="MaskGenerationPipeline",
        model_classes=("AutoModelForMaskGeneration",),
        processors=("AutoImageProcessor",),
        inputs=(_IMAGE,),
        options=options.Masks,
        output=list[results.ObjectMask],
        prompt="Cut every object out of a picture as a mask file, without naming it. Use it when the person wants all "
        "shapes of a picture separated.",
        examples=("facebook/sam-vit-base",),
    ),
    PipelineRow(
        task="depth-estimation",
        tool="estimate_depth",
        call="vision.depth",
        pipeline="DepthEstimationPipeline",
        model_classes=("AutoModelForDepthEstimation",),
        processors=("AutoImageProcessor",),
        inputs=(_IMAGE,),
        options=options.Options,
        output=results.Depth,
        prompt="Estimate how far away each point of a picture is, as a depth map file. Use it when the person asks for "
        "depth or distances in a picture.",
        examples=("depth-anything/Depth-Anything-V2-Small-hf", "Intel/dpt-large"),
    ),
    PipelineRow(
        task="keypoint-matching",
        tool="match_points",
        call="vision.match",
        pipeline="KeypointMatchingPipeline",
        model_classes=("AutoModelForKeypointMatching",),
        processors=("AutoImageProcessor",),
        inputs=(_IMAGE, _OTHER),
        options=options.Matches,
        output=list[results.Match],
        prompt="Find the points that two pictures share. Use it when the person asks whether or where two pictures "
        "show the same place or thing.",
        examples=("magic-leap-community/superglue_outdoor",),
    ),
    PipelineRow(
        task="image-feature-extraction",
        tool="embed_image",
        call="vision.embed",
        pipeline="ImageFeatureExtractionPipeline",
        model_classes=("AutoModel",),
        processors=("AutoImageProcessor",),
        inputs=(_IMAGE,),
        options=options.Options,
        output=results.Vector,
        prompt="Give a picture's vector, for comparing pictures by their likeness. Use it when another program needs "
        "the numbers. Not for questions about a picture.",
        examples=("google/vit-base-patch16-224", "facebook/dinov2-small"),
    ),
    PipelineRow(
        task="video-classification",
        tool="classify_video",
        call="vision.classify_video",
        pipeline="VideoClassificationPipeline",
        model_classes=("AutoModelForVideoClassification",),
        processors=("AutoImageProcessor",),
        inputs=(_VIDEO,),
        options=options.TopLabels,
        output=list[results.ScoredLabel],
        prompt="Tell what happens in a video, with a probability for each label. Use it when the person asks what a "
        "video file shows.",
        examples=("MCG-NJU/videomae-base-finetuned-kinetics",),
    ),
    PipelineRow(
        task="image-text-to-text",
        tool="describe_image",
        call="answers.about_image",
        pipeline="ImageTextToTextPipeline",
        model_classes=("AutoModelForImageTextToText",),
        processors=("AutoProcessor",),
        inputs=(_IMAGE, Input("text", "text", "the question or request about the picture", "")),
        options=options.Words,
        output=results.Answer,
        prompt="Describe a picture or answer a question about it. Use it when the person asks anything about a picture "
        "file that needs words as the answer.",
        examples=("HuggingFaceTB/SmolVLM-256M-Instruct", "Salesforce/blip-image-captioning-base"),
        writes=True,
    ),
    PipelineRow(
        task="document-question-answering",
        tool="read_page",
        call="answers.on_page",
        pipeline="DocumentQuestionAnsweringPipeline",
        model_classes=("AutoModelForDocumentQuestionAnswering", "AutoModelForImageTextToText"),
        model_types=("layoutlm", "layoutlmv2", "layoutlmv3", "vision-encoder-decoder"),
        processors=("AutoTokenizer",),
        optional=("AutoImageProcessor",),
        inputs=(
            Input("image", "image", "the path of a page's picture, such as a scan"),
            Input("text", "text", "the question"),
        ),
        options=options.PageAnswer,
        output=list[results.PageWords],
        prompt="Answer a question from the picture of a page, such as a scanned invoice. Use it when the person asks "
        "about a scan. Not for documents in the library: use search.",
        examples=("naver-clova-ix/donut-base-finetuned-docvqa", "impira/layoutlm-document-qa"),
    ),
    PipelineRow(
        task="any-to-any",
        tool="ask_about_media",
        call="answers.about_media",
        pipeline="AnyToAnyPipeline",
        model_classes=("AutoModelForMultimodalLM",),
        processors=("AutoProcessor",),
        inputs=(
            Input("text", "text", "the question or request"),
            Input("image", "image", "the path of a picture, if there is one", ""),
            Input("audio", "audio", "the path of a recording, if there is one", ""),
        ),
        options=options.Words,
        output=results.Answer,
        prompt="Answer a question about a picture, a recording or both. Use it when the person asks about a recording, "
        "or about a recording and a picture together.",
        examples=("google/gemma-3n-E2B-it",),
        writes=True,
    ),
    PipelineRow(
        task="automatic-speech-recognition",
        tool="transcribe",
        call="sound.transcribe",
        pipeline="AutomaticSpeechRecognitionPipeline",
        model_classes=("AutoModelForCTC", "AutoModelForTDT", "AutoModelForSpeechSeq2Seq"),
        processors=("AutoFeatureExtractor", "AutoTokenizer"),
        inputs=(_AUDIO,),
        options=options.Transcription,
        output=results.Transcript,
        prompt="Write down what is said in a recording, with times. Use it when the person wants speech as text.",
        examples=("openai/whisper-base", "facebook/wav2vec2-base-960h"),
    ),
    PipelineRow(
        task="audio-classification",
        tool="classify_audio",
        call="sound.classify",
        pipeline="AudioClassificationPipeline",
        model_classes=("AutoModelForAudioClassification",),
        processors=("AutoFeatureExtractor",),
        inputs=(_AUDIO,),
        options=options.TopLabels,
        output=list[results.ScoredLabel],
        prompt="Tell what kind of sound or speech a recording holds. Use it when the person asks what is heard. Not "
        "for the words said: use transcribe.",
        examples=("MIT/ast-finetuned-audioset-10-10-0.4593", "superb/wav2vec2-base-superb-ks"),
    ),
    PipelineRow(
        task="zero-shot-audio-classification",
        tool="label_audio",
        call="sound.label",
        pipeline="ZeroShotAudioClassificationPipeline",
        model_classes=("AutoModel",),
        model_types=("clap",),
        processors=("AutoFeatureExtractor", "AutoTokenizer"),
        inputs=(_AUDIO,),
        options=options.OwnLabels,
        output=list[results.ScoredLabel],
        prompt="Tell which of the person's own labels fits a recording. Use it when the person names the labels.",
        examples=("laion/clap-htsat-unfused",),
    ),
    PipelineRow(
        task="text-to-audio",
        tool="speak",
        call="sound.speak",
        pipeline="TextToAudioPipeline",
        model_classes=("AutoModelForTextToWaveform",),
        processors=("AutoTokenizer",),
        optional=("AutoProcessor",),
        inputs=(Input("text", "text", "the text to say, or the sound to make"),),
        options=options.Speech,
        output=results.Recording,
        prompt="Say a text aloud, or make the sound it describes, as a WAV file. Use it when the person wants to hear "
        "something.",
        examples=("facebook/mms-tts-eng", "suno/bark-small"),
    ),
    PipelineRow(
        task="decision",
        tool="decide",
        call="answers.decide",
        pipeline="DecisionPipeline",
        model_classes=("AutoModelForDecision", "AutoModelForCausalLM"),
        processors=("AutoTokenizer",),
        inputs=(
            Input("text", "text", "what the decision is about"),
            Input("question", "text", "the question to decide"),
        ),
        options=options.Choice,
        output=list[results.ScoredLabel],
        prompt="Decide a question about a text between options, or yes or no, with a probability for each. Use it when "
        "the person wants a judgement about a text. Not for facts: use search.",
        examples=("smollm2-135m-instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
        writes=True,
    ),
)

PIPELINE_TASKS: Mapping[str, PipelineRow] = MappingProxyType({row.task: row for row in _ROWS})
