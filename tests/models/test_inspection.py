"""`models inspect`: counts against the model itself, tokens against its tokenizer, attention and shapes by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from hearth import main
from models.errors import BrokenModel
from models.inspection.blocks import read_blocks
from models.inspection.picture import DPI, draw, grid_pixels, layout, picture_size, readable, trimmed
from models.inspection.reading import AttentionMaps, Reading, read_text
from tests.models import tiny_pipelines as tiny
from tests.models.tiny_tasks import save_bert
from tests.models.tiny_translators import save_marian

TEXT = "The quick brown fox jumps"


@pytest.fixture(autouse=True)
def _float32(float32: None) -> None:
    """One thread, exact numbers."""


def folders(tmp_path: Path, chat: Path, encoder: Path) -> dict[str, Path]:
    return {
        "LlamaForCausalLM": chat,
        "BertModel": encoder,
        "BertForSequenceClassification": save_bert(
            tmp_path / "classifier", hf.BertForSequenceClassification, labels=["bad", "good"]
        ),
        "MarianMTModel": save_marian(tmp_path / "marian"),
        "ViTForImageClassification": tiny.build(tiny.vit, tmp_path / "vit"),
        "LlavaForConditionalGeneration": tiny.build(tiny.llava, tmp_path / "llava"),
        "Wav2Vec2ForCTC": tiny.build(tiny.speech, tmp_path / "speech"),
        "WhisperForConditionalGeneration": tiny.build(tiny.whisper, tmp_path / "whisper"),
    }


def test_blocks_add_up_to_the_models_parameters(
    tmp_path: Path, tiny_chat_folder: Path, tiny_encoder_folder: Path
) -> None:
    for name, folder in folders(tmp_path, tiny_chat_folder, tiny_encoder_folder).items():
        anatomy = read_blocks(folder)
        model = getattr(hf, name).from_pretrained(folder)
        assert anatomy.architecture == name
        assert anatomy.parameters == sum(one.numel() for one in model.parameters())
        assert anatomy.parameters == sum(block.parameters for block in anatomy.blocks)
        assert anatomy.size_bytes == 4 * anatomy.parameters
        assert anatomy.dtype == "float32"
        for block in anatomy.blocks:
            assert not block.parts or sum(part.parameters for part in block.parts) == block.parameters


def test_the_blocks_of_a_chat_model_by_hand(tiny_chat_folder: Path) -> None:
    anatomy = read_blocks(tiny_chat_folder)
    assert [block.name for block in anatomy.blocks] == ["embeddings", "layer 0", "layer 1", "last norm", "head"]
    layer = {part.name: part.parameters for part in anatomy.blocks[1].parts}
    # queries and output 32 x 32, keys and values 32 x 16; three matrices of 32 x 64; two norms of 32
    assert layer == {"attention": 2 * 32 * 32 + 2 * 32 * 16, "feed-forward": 3 * 32 * 64, "norm": 64}
    assert not anatomy.tied


def test_a_model_in_bfloat16_is_counted_in_its_own_format(tmp_path: Path, tiny_chat_folder: Path) -> None:
    model = hf.LlamaForCausalLM.from_pretrained(tiny_chat_folder, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "half")
    anatomy = read_blocks(tmp_path / "half")
    assert (anatomy.dtype, anatomy.size_bytes) == ("bfloat16", 2 * anatomy.parameters)


def test_a_translators_halves_are_told_apart(tmp_path: Path) -> None:
    names = [block.name for block in read_blocks(save_marian(tmp_path)).blocks]
    assert "encoder layer 0" in names
    assert "decoder layer 0" in names
    decoder = next(block for block in read_blocks(tmp_path).blocks if block.name == "decoder layer 0")
    assert [part.name for part in decoder.parts] == ["attention", "cross-attention", "feed-forward", "norm"]


def test_a_chat_model_reads(tiny_chat_folder: Path) -> None:
    found = read_text(tiny_chat_folder, name="tiny", text=TEXT, max_tokens=48)
    tokenizer = hf.AutoTokenizer.from_pretrained(tiny_chat_folder)
    ids = tokenizer(TEXT)["input_ids"]
    assert [token.id for token in found.tokens] == ids
    assert "".join(token.shown for token in found.tokens) == TEXT
    assert all(TEXT[token.start : token.end] == token.shown for token in found.tokens)
    count = len(ids)
    assert [layer.shape for layer in found.layers] == [(1, count, 32)] * 3
    (maps,) = found.attention
    assert maps.weights.shape == (2, 4, count, count)
    assert maps.weights.sum(-1) == pytest.approx(1, abs=1e-5)
    assert np.triu(maps.weights, 1).max() == 0  # nobody looks ahead
    logits = hf.LlamaForCausalLM.from_pretrained(tiny_chat_folder)(torch.tensor([ids])).logits[0, -1]
    share, token = logits.softmax(-1).max(0)
    assert found.likeliest[0][0] == tokenizer.decode([int(token)])
    assert found.likeliest[0][1] == pytest.approx(share.item(), abs=1e-5)
    assert len(found.likeliest) == 10


def test_looking_leaves_the_model_as_it_was(tiny_chat_folder: Path) -> None:
    from models.loading import load_part

    model = load_part(tiny_chat_folder, name="tiny", model_class="LlamaForCausalLM", fast=False)
    before = model.config._attn_implementation
    read_text(tiny_chat_folder, name="tiny", text=TEXT, max_tokens=8)
    assert model.config._attn_implementation == before != "eager"


def test_an_encoder_reads(tiny_encoder_folder: Path) -> None:
    found = read_text(tiny_encoder_folder, name="tiny", text=TEXT, max_tokens=48)
    assert found.tokens[0].special
    assert (found.tokens[0].token, found.tokens[0].start) == ("[CLS]", None)
    assert found.attention[0].weights.shape[:2] == (2, 2)
    assert found.attention[0].weights.sum(-1) == pytest.approx(1, abs=1e-5)
    assert found.likeliest == ()


def test_a_classifier_reads_and_says_its_labels(tmp_path: Path) -> None:
    folder = save_bert(tmp_path, hf.BertForSequenceClassification, labels=["bad", "good", "so"])
    found = read_text(folder, name="tiny", text="the river runs", max_tokens=48)
    assert {label for label, _ in found.likeliest} == {"bad", "good", "so"}
    assert sum(share for _, share in found.likeliest) == pytest.approx(1)


def test_a_masked_model_fills_the_gap(tmp_path: Path) -> None:
    folder = save_bert(tmp_path, hf.BertForMaskedLM)
    assert len(read_text(folder, name="tiny", text="the [MASK] runs", max_tokens=48).likeliest) == 10
    assert read_text(folder, name="tiny", text="the river runs", max_tokens=48).likeliest == ()


def test_a_translator_reads_with_both_halves(tmp_path: Path) -> None:
    found = read_text(save_marian(tmp_path), name="tiny", text="the river runs", max_tokens=48)
    kinds = {maps.kind: maps for maps in found.attention}
    assert set(kinds) == {"encoder self-attention", "decoder self-attention", "cross-attention"}
    cross = kinds["cross-attention"]
    assert cross.weights.shape[2:] == (len(cross.rows), len(found.tokens))
    assert cross.weights.sum(-1) == pytest.approx(1, abs=1e-5)
    assert {layer.stack for layer in found.layers} == {"encoder", "decoder"}
    assert found.written is not None


def test_a_long_text_is_read_from_its_beginning(tiny_chat_folder: Path) -> None:
    whole = read_text(tiny_chat_folder, name="tiny", text=TEXT, max_tokens=48)
    found = read_text(tiny_chat_folder, name="tiny", text=TEXT, max_tokens=3)
    assert found.tokens == whole.tokens[:3]
    assert found.tokens_total == len(whole.tokens)
    assert found.attention[0].weights == pytest.approx(whole.attention[0].weights[:, :, :3, :3], abs=1e-5)


def maps_of(layers: int, heads: int, rows: int, columns: int) -> AttentionMaps:
    weights = np.random.RandomState(0).dirichlet(np.ones(columns), (layers, heads, rows)).astype(np.float32)
    return AttentionMaps("self-attention", weights, ("row",) * rows, ("column",) * columns)


def test_the_entropy_of_looking_at_one_or_at_all() -> None:
    one = np.zeros((1, 2, 4, 4), dtype=np.float32)
    one[0, 0, :, 2] = 1
    one[0, 1] = 0.25
    assert AttentionMaps("x", one, ("",) * 4, ("",) * 4).entropy_bits().tolist() == [[0, 2]]


@pytest.mark.parametrize(("layers", "heads", "rows", "columns"), [(2, 3, 5, 5), (9, 2, 4, 4), (1, 1, 3, 70)])
def test_every_weight_is_in_the_grid(layers: int, heads: int, rows: int, columns: int) -> None:
    maps = maps_of(layers, heads, rows, columns)
    plan, pixels = layout(maps), grid_pixels(maps)
    assert pixels.shape == (plan.grid_height, plan.grid_width)
    inked = ~np.isnan(pixels)
    assert inked.sum() == maps.weights.size * plan.scale**2
    assert pixels[inked].sum() == pytest.approx(maps.weights.sum() * plan.scale**2, rel=1e-4)
    last = maps.weights[-1, -1, -1, -1]
    assert pixels[-1, -1] == last


def test_a_picture_of_very_many_maps_shows_the_first_tokens() -> None:
    maps = trimmed(maps_of(1, 400, 60, 60))
    assert maps.weights.shape == (1, 400, 30, 30)
    assert len(maps.rows) == len(maps.columns) == 30
    assert layout(maps).grid_width < 400 * 130


def test_the_picture_has_its_size_and_is_not_empty() -> None:
    reading = Reading((), 0, (), (maps_of(2, 3, 5, 5), maps_of(9, 2, 4, 4)), (), None)
    drawn = draw(reading, "a title with $ and 汉")
    assert drawn.size == picture_size(reading)
    assert drawn.size[0] >= DPI
    assert len(set(drawn.convert("L").resize((100, 100)).tobytes())) > 20


@pytest.mark.parametrize(
    ("token", "label"),
    [(" the", "the"), ("\n", "↵"), (" ", "·"), ("汉", "U+6C49"), ("a" * 30, "a" * 13 + "…"), ("\x00", "U+0000")],
)
def test_tokens_are_labels_that_can_be_read(token: str, label: str) -> None:
    assert readable(token) == label


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    capsys.readouterr()
    assert main(["models", "inspect", *arguments, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_the_verb_without_a_text_counts(capsys: pytest.CaptureFixture[str], tiny_chat_folder: Path) -> None:
    found = run(capsys, str(tiny_chat_folder))
    assert found["parameters"] == sum(block["parameters"] for block in found["blocks"])
    assert "reading" not in found
    assert main(["models", "inspect", str(tiny_chat_folder)]) == 0
    assert "layer 0 to 1" in capsys.readouterr().out


def test_the_verb_with_a_text_draws(
    capsys: pytest.CaptureFixture[str], tiny_chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(capsys, str(tiny_chat_folder), TEXT, "--weights")
    assert Path(found["picture"]).parent == tmp_path
    assert Image.open(found["picture"]).format == "PNG"
    assert np.asarray(found["reading"]["attention"][0]["weights"]).sum(-1) == pytest.approx(1, abs=1e-3)
    again = run(capsys, str(tiny_chat_folder), TEXT, "--picture", "mine.png")
    assert again["picture"] == str(tmp_path / "mine.png")
    assert "weights" not in again["reading"]["attention"][0]
    assert run(capsys, str(tiny_chat_folder), TEXT, "--no-picture")["picture"] is None
    assert main(["models", "inspect", str(tiny_chat_folder), TEXT, "--no-picture"]) == 0
    assert "likeliest:" in capsys.readouterr().out


def test_an_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    error = run(capsys, "smolm2", status=1)["error"]
    assert (error["code"], "smollm2-135m-instruct" in error["message"]) == ("model_not_found", True)
    assert run(capsys, "http://localhost:9/v1#x", status=1)["error"]["code"] == "model_not_found"


def test_what_reads_no_text_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tiny.build(tiny.speech, tmp_path / "speech")
    with pytest.raises(BrokenModel, match="cannot read a text alone"):
        read_text(folder, name="tiny", text="abc", max_tokens=8)
    assert run(capsys, str(folder))["architecture"] == "Wav2Vec2ForCTC"
    assert run(capsys, str(folder), "   ", status=1)["error"]["code"] == "empty_text"


def test_an_architecture_that_transformers_lacks_is_named(tmp_path: Path, tiny_chat_folder: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny_chat_folder, tmp_path / "other"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["MyOwnModel"]}))
    with pytest.raises(BrokenModel, match="MyOwnModel"):
        read_blocks(folder)


@pytest.mark.real_model
def test_the_embedded_models_from_inside(
    embedded_home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """SmolLM2's 134.5 million parameters and MiniLM's 22.7 are those of their cards."""
    where = ["--home", str(embedded_home), "--picture", str(tmp_path / "maps.png")]
    chat = run(capsys, "smollm2-135m-instruct", "The capital of France is", *where)
    assert (chat["parameters"], chat["dtype"], chat["tied"]) == (134_515_008, "bfloat16", True)
    assert chat["reading"]["likeliest"][0]["text"] == " Paris"
    assert chat["reading"]["attention"][0]["shape"] == [30, 9, 5, 5]
    assert [layer["shape"] for layer in chat["reading"]["hidden_states"]] == [[1, 5, 576]] * 31
    encoder = run(capsys, "all-minilm-l6-v2", "The capital of France is", *where)
    assert encoder["parameters"] == 22_713_216
    assert encoder["reading"]["attention"][0]["shape"][:2] == [6, 12]
