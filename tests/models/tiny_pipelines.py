"""Tiny seeded models of every task of the table, on disk with their processors, and a picture and a recording."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers as hf
from PIL import Image

from tests.models.conftest import chat_tokenizer, save_tiny_chat
from tests.models.tiny_tasks import bert_tokenizer

RATE = 16_000
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
SIDE = {"height": 32, "width": 32}
CUT = {"size": {"shortest_edge": 32}, "crop_size": SIDE}
CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %} {{ part['text'] }}{% else %}<{{ part['type'] }}>{% endif %}"
    "{% endfor %}{% endfor %} !"
)


def picture(path: Path, width: int = 64, height: int = 48, seed: int = 0) -> Path:
    """A PNG of coloured blocks."""
    blocks = np.random.RandomState(seed).randint(0, 255, (6, 8, 3)).astype(np.uint8)
    Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST).save(path)
    return path


def recording(path: Path, seconds: float = 1.0, rate: int = RATE) -> Path:
    """A WAV of two tones."""
    moments = np.arange(int(seconds * rate)) / rate
    sound = 0.4 * np.sin(2 * np.pi * 440 * moments) + 0.3 * np.sin(2 * np.pi * 1200 * moments**2)
    soundfile.write(path, sound.astype(np.float32), rate, subtype="FLOAT")
    return path


def _save(folder: Path, model: Any, *parts: Any) -> Path:
    model.eval().save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def _tokenizer(window: int = 16) -> Any:
    """Without token types, which only BERT's own models take."""
    tokenizer = bert_tokenizer(window)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _text(tokenizer: Any) -> dict[str, Any]:
    return SMALL | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 64,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 0,
    }


def vit(folder: Path) -> Path:
    config = hf.ViTConfig(**SMALL, image_size=32, patch_size=8, id2label={0: "boat", 1: "fish", 2: "hill"})
    return _save(folder, hf.ViTForImageClassification(config), hf.ViTImageProcessorPil(size=SIDE))


def clip(folder: Path) -> Path:
    tokenizer = _tokenizer()
    vision = SMALL | {"image_size": 32, "patch_size": 8, "projection_dim": 12}
    config = hf.CLIPConfig(
        text_config=_text(tokenizer) | {"projection_dim": 12}, vision_config=vision, projection_dim=12
    )
    return _save(folder, hf.CLIPModel(config), hf.CLIPImageProcessorPil(**CUT), tokenizer)


def yolos(folder: Path) -> Path:
    config = hf.YolosConfig(
        **SMALL, image_size=[32, 48], patch_size=8, num_detection_tokens=6, id2label={0: "cat", 1: "dog"}
    )
    processor = hf.YolosImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 48})
    return _save(folder, hf.YolosForObjectDetection(config), processor)


def owlvit(folder: Path) -> Path:
    tokenizer = _tokenizer()
    config = hf.OwlViTConfig(
        text_config=_text(tokenizer), vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=16
    )
    processor = hf.OwlViTImageProcessorPil(size=SIDE, do_center_crop=False)
    return _save(folder, hf.OwlViTForObjectDetection(config), processor, tokenizer)


def _stages() -> dict[str, Any]:
    four = [1, 1, 1, 1]
    return {
        "depths": four,
        "num_attention_heads": four,
        "sr_ratios": four,
        "hidden_sizes": [8] * 4,
        "decoder_hidden_size": 8,
    }


def segformer(folder: Path) -> Path:
    config = hf.SegformerConfig(**_stages(), id2label={0: "sky", 1: "sea", 2: "sand"})
    return _save(folder, hf.SegformerForSemanticSegmentation(config), hf.SegformerImageProcessorPil(size=SIDE))


def sam(folder: Path) -> Path:
    size = {"image_size": 64, "patch_size": 16}
    vision = {
        "output_channels": 8,
        "num_hidden_layers": 1,
        "mlp_dim": 32,
        "window_size": 2,
        "global_attn_indexes": [0],
        "num_pos_feats": 4,
    }
    decoder = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16}
    config = hf.SamConfig(
        vision_config=SMALL | size | vision,
        prompt_encoder_config=size | {"hidden_size": 8, "mask_input_channels": 4},
        mask_decoder_config=decoder | {"iou_head_hidden_dim": 8, "iou_head_depth": 2},
    )
    processor = hf.SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return _save(folder, hf.SamModel(config), processor)


def glpn(folder: Path) -> Path:
    return _save(folder, hf.GLPNForDepthEstimation(hf.GLPNConfig(**_stages())), hf.GLPNImageProcessorPil())


def superglue(folder: Path) -> Path:
    detector = hf.SuperPointConfig(
        encoder_hidden_sizes=[8] * 4,
        decoder_hidden_size=8,
        descriptor_decoder_dim=16,
        keypoint_threshold=0.0,
        max_keypoints=20,
        border_removal_distance=2,
    )
    config = hf.SuperGlueConfig(
        keypoint_detector_config=detector,
        hidden_size=16,
        keypoint_encoder_sizes=[8, 16],
        gnn_layers_types=["self", "cross"],
        num_attention_heads=2,
        sinkhorn_iterations=5,
        matching_threshold=0.0,
    )
    processor = hf.SuperGlueImageProcessorPil(size={"height": 48, "width": 64})
    return _save(folder, hf.SuperGlueForKeypointMatching(config), processor)


def videomae(folder: Path) -> Path:
    config = hf.VideoMAEConfig(
        **SMALL, image_size=32, patch_size=8, num_frames=4, tubelet_size=2, id2label={0: "run", 1: "sit"}
    )
    return _save(folder, hf.VideoMAEForVideoClassification(config), hf.VideoMAEImageProcessorPil(**CUT))


def git(folder: Path) -> Path:
    """A captioning model: no chat template, the text is the caption's beginning."""
    tokenizer = _tokenizer(32)
    config = hf.GitConfig(vision_config=SMALL | {"image_size": 32, "patch_size": 8}, **_text(tokenizer))
    processor = hf.GitProcessor(hf.CLIPImageProcessorPil(**CUT), tokenizer)
    return _save(folder, hf.GitForCausalLM(config), processor)


def llava(folder: Path) -> Path:
    """A chat model that sees."""
    tokenizer = _tokenizer(64)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**SMALL, image_size=32, patch_size=8),
        text_config=hf.LlamaConfig(**_text(tokenizer), num_key_value_heads=2),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    processor = hf.LlavaProcessor(
        hf.CLIPImageProcessorPil(**CUT),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return _save(folder, hf.LlavaForConditionalGeneration(config), processor)


def qwen_audio(folder: Path) -> Path:
    """A chat model that hears."""
    tokenizer = _tokenizer(400)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]})
    config = hf.Qwen2AudioConfig(
        audio_config={
            "d_model": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "num_mel_bins": 80,
            "max_source_positions": 1500,
        },
        text_config=_text(tokenizer)
        | {"max_position_embeddings": 1024, "model_type": "qwen2", "num_key_value_heads": 2},
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    template = CHAT.replace("<{{ part['type'] }}>", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    processor = hf.Qwen2AudioProcessor(hf.WhisperFeatureExtractor(), tokenizer, chat_template=template)
    return _save(folder, hf.Qwen2AudioForConditionalGeneration(config), processor)


def layoutlm(folder: Path) -> Path:
    tokenizer = bert_tokenizer(64)
    config = hf.LayoutLMConfig(**_text(tokenizer), initializer_range=0.6)
    return _save(folder, hf.LayoutLMForQuestionAnswering(config), tokenizer)


def _wav2vec2(**own: Any) -> Any:
    return hf.Wav2Vec2Config(
        **SMALL,
        vocab_size=12,
        conv_dim=[8, 8],
        conv_stride=[20, 16],
        conv_kernel=[20, 16],
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        initializer_range=0.6,
        pad_token_id=0,
        **own,
    )


def speech(folder: Path) -> Path:
    """A CTC model of one letter each 20 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefg"]
    (folder / "vocab.json").write_text(json.dumps({symbol: index for index, symbol in enumerate(symbols)}))
    tokenizer = hf.Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    return _save(folder, hf.Wav2Vec2ForCTC(_wav2vec2()), hf.Wav2Vec2FeatureExtractor(), tokenizer)


def whisper(folder: Path) -> Path:
    """A speech model of two languages that tells times."""
    tokenizer = chat_tokenizer()
    names = ["startoftranscript", "en", "de", "translate", "transcribe", "startoflm", "startofprev", "nospeech"]
    names.append("notimestamps")
    tokenizer = hf.WhisperTokenizer(tokenizer_object=tokenizer.backend_tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in names]})
    tokenizer.add_tokens([f"<|{tick / 50:.2f}|>" for tick in range(1501)])
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in [*names, "endoftext"]}
    config = hf.WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=64,
        pad_token_id=ids["endoftext"],
        bos_token_id=ids["endoftext"],
        eos_token_id=ids["endoftext"],
        decoder_start_token_id=ids["startoftranscript"],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    model = hf.WhisperForConditionalGeneration(config)
    told = hf.GenerationConfig.from_model_config(config)
    told._from_model_config = False  # otherwise what is set here would be left out when it is read again
    model.generation_config = told
    told.is_multilingual, told.no_timestamps_token_id = True, ids["notimestamps"]
    told.lang_to_id = {"<|en|>": ids["en"], "<|de|>": ids["de"]}
    told.task_to_id = {"transcribe": ids["transcribe"], "translate": ids["translate"]}
    told.max_length, told.prev_sot_token_id = 16, ids["startofprev"]
    return _save(folder, model, hf.WhisperFeatureExtractor(), tokenizer)


def sounds(folder: Path) -> Path:
    config = _wav2vec2(id2label={0: "music", 1: "talk"}, classifier_proj_size=8)
    return _save(folder, hf.Wav2Vec2ForSequenceClassification(config), hf.Wav2Vec2FeatureExtractor())


def clap(folder: Path) -> Path:
    tokenizer = _tokenizer()
    audio = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "hidden_size": 16,
        "patch_embeds_hidden_size": 8,
        "depths": [1, 1],
        "num_attention_heads": [1, 2],
        "window_size": 4,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "projection_dim": 12,
        "num_hidden_layers": 2,
    }
    config = hf.ClapConfig(text_config=_text(tokenizer) | {"projection_dim": 12}, audio_config=audio, projection_dim=12)
    extractor = hf.ClapFeatureExtractor(feature_size=16, truncation="rand_trunc", max_length_s=1)
    return _save(folder, hf.ClapModel(config), extractor, tokenizer)


def vits(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    letters = {letter: index for index, letter in enumerate("_ abcdefghijklmnopqrstuvwxyz")}
    (folder / "vocab.json").write_text(json.dumps(letters))
    tokenizer = hf.VitsTokenizer(str(folder / "vocab.json"), pad_token="_", unk_token="_", phonemize=False)
    config = hf.VitsConfig(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=16,
        flow_size=8,
        spectrogram_bins=9,
        upsample_initial_channel=16,
        upsample_rates=[4, 4],
        upsample_kernel_sizes=[8, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1]],
        prior_encoder_num_flows=1,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
        duration_predictor_num_flows=1,
        depth_separable_num_layers=1,
        depth_separable_channels=2,
        wavenet_dilation_rate=1,
        duration_predictor_filter_channels=16,
        sampling_rate=8000,
    )
    return _save(folder, hf.VitsModel(config), tokenizer)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "image-classification": vit,
    "zero-shot-image-classification": clip,
    "object-detection": yolos,
    "zero-shot-object-detection": owlvit,
    "image-segmentation": segformer,
    "mask-generation": sam,
    "depth-estimation": glpn,
    "keypoint-matching": superglue,
    "image-feature-extraction": vit,
    "video-classification": videomae,
    "image-text-to-text": llava,
    "document-question-answering": layoutlm,
    "any-to-any": qwen_audio,
    "automatic-speech-recognition": speech,
    "audio-classification": sounds,
    "zero-shot-audio-classification": clap,
    "text-to-audio": vits,
    "decision": save_tiny_chat,
}


def build(builder: Callable[[Path], Path], folder: Path) -> Path:
    """The model of a builder, the same at every call."""
    torch.manual_seed(0)
    return builder(folder)
