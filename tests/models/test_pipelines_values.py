"""What the tasks give, against a forward pass of the model by hand, brute force, or what a person can count."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.pipelines.errors import BadTaskOption
from models.pipelines.own import unpacked, without_overlaps
from models.pipelines.task import PipelineTask
from tests.models import tiny_pipelines as tiny


@pytest.fixture(autouse=True)
def _float32(float32: None) -> None:
    """Exact numbers on one thread."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return tiny.picture(tmp_path / "photo.png")


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    return tiny.recording(tmp_path / "voice.wav")


def opened(task: str, tmp_path: Path, builder: Any = None) -> PipelineTask:
    folder = tiny.build(builder or tiny.BUILDERS[task], tmp_path / "model")
    return PipelineTask.open(task, str(folder), tmp_path)


def test_the_labels_of_a_picture_are_the_models_softmax(photo: Path, tmp_path: Path) -> None:
    task = opened("image-classification", tmp_path)
    found = task(photo, top_k=2)
    inputs = task.pipe.image_processor(Image.open(photo), return_tensors="pt")
    shares = task.pipe.model(**inputs).logits[0].softmax(-1)
    labels = sorted(zip(shares.tolist(), ("boat", "fish", "hill"), strict=True), reverse=True)[:2]
    assert [one["label"] for one in found] == [label for _, label in labels]
    assert [one["score"] for one in found] == pytest.approx([share for share, _ in labels], abs=1e-6)


def test_ones_own_labels_are_the_softmax_over_them(photo: Path, tmp_path: Path) -> None:
    task = opened("zero-shot-image-classification", tmp_path)
    found = {one["label"]: one["score"] for one in task(photo, labels=["river", "fish", "hills"])}
    texts = [f"This is a photo of {label}." for label in found]
    inputs = task.pipe.tokenizer(texts, padding=True, return_tensors="pt")
    inputs |= task.pipe.image_processor(Image.open(photo), return_tensors="pt")
    shares = task.pipe.model(**inputs).logits_per_image[0].softmax(-1)
    assert list(found.values()) == pytest.approx(shares.tolist(), abs=1e-5)
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize("task", ["object-detection", "zero-shot-object-detection"])
def test_boxes_lie_inside_the_picture_and_the_surest_come_first(task: str, photo: Path, tmp_path: Path) -> None:
    own = {"labels": ["river", "fish"]} if task.startswith("zero") else {}
    found = opened(task, tmp_path)(photo, threshold=0, **own)
    scores = [one["score"] for one in found]
    assert found
    assert scores == sorted(scores, reverse=True)
    for one in found:
        box = one["box"]
        assert 0 <= box["left"] <= box["right"] < 64
        assert 0 <= box["top"] <= box["bottom"] < 48
        assert one["label"] in ({"river", "fish"} if own else {"cat", "dog"})


def test_a_threshold_of_one_leaves_nothing(photo: Path, tmp_path: Path) -> None:
    assert opened("object-detection", tmp_path)(photo, threshold=1) == []


def test_areas_share_every_pixel_once(photo: Path, tmp_path: Path) -> None:
    found = opened("image-segmentation", tmp_path)(photo, folder=tmp_path / "made")
    masks = [np.asarray(Image.open(part["mask"])) for part in found]
    assert {mask.shape for mask in masks} == {(48, 64)}
    assert (sum(mask.astype(int) for mask in masks) == 255).all()
    assert {part["label"] for part in found} <= {"sky", "sea", "sand"}
    assert all(Path(part["mask"]).parent == tmp_path / "made" for part in found)


def test_a_masks_box_holds_it_tightly(photo: Path, tmp_path: Path) -> None:
    found = opened("mask-generation", tmp_path)(photo, folder=tmp_path, points_per_side=4, quality=0, stability=0)
    assert found
    for one in found:
        area = np.asarray(Image.open(one["mask"])) > 0
        rows, columns = area.any(1).nonzero()[0], area.any(0).nonzero()[0]
        assert one["box"] == {
            "left": columns.min(),
            "top": rows.min(),
            "right": columns.max(),
            "bottom": rows.max(),
        }


def test_overlapping_boxes_are_dropped_as_by_brute_force() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((60, 2), generator=generator) * 40
    boxes = torch.cat([corners, corners + 5 + torch.rand((60, 2), generator=generator) * 30], 1)
    scores = torch.rand(60, generator=generator)

    def overlap(a: int, b: int) -> float:
        left, top = max(boxes[a][0], boxes[b][0]), max(boxes[a][1], boxes[b][1])
        right, bottom = min(boxes[a][2], boxes[b][2]), min(boxes[a][3], boxes[b][3])
        shared = max(0.0, float(right - left)) * max(0.0, float(bottom - top))
        sizes = [float((boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1])) for i in (a, b)]
        return shared / (sum(sizes) - shared)

    expected: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(overlap(index, kept) <= 0.4 for kept in expected):
            expected.append(index)
    assert without_overlaps(boxes, scores, 0.4) == expected
    assert 1 < len(expected) < 60


def test_run_lengths_unpack_as_transformers_packed_them() -> None:
    from transformers.models.sam.image_processing_pil_sam import _mask_to_rle

    generator = torch.Generator().manual_seed(1)
    masks = torch.rand((5, 7, 4), generator=generator) > 0.5
    for mask, packed in zip(masks, _mask_to_rle(masks), strict=True):
        assert (unpacked(packed) == mask.numpy()).all()


def test_the_depth_maps_values_are_the_models(photo: Path, tmp_path: Path) -> None:
    task = opened("depth-estimation", tmp_path)
    found = task(photo, folder=tmp_path)
    values = task.pipe(Image.open(photo))["predicted_depth"].numpy()
    span = found["maximum"] - found["minimum"]
    pixels = np.asarray(Image.open(found["picture"])).astype(float)
    assert pixels.shape == (48, 64)
    assert np.abs(found["minimum"] + pixels / 65535 * span - values).max() <= span / 65535
    assert (found["minimum"], found["maximum"]) == pytest.approx((values.min(), values.max()))


def test_matched_points_lie_in_their_pictures(photo: Path, tmp_path: Path) -> None:
    wide = tiny.picture(tmp_path / "wide.png", width=128, height=48, seed=1)
    found = opened("keypoint-matching", tmp_path)(photo, wide, threshold=0)
    assert found
    for pair in found:
        assert 0 <= pair["first"]["x"] < 64
        assert 0 <= pair["second"]["x"] < 128
        assert 0 <= pair["first"]["y"] < 48
        assert 0 <= pair["score"] <= 1


def test_a_pictures_vector_is_the_mean_over_its_places(photo: Path, tmp_path: Path) -> None:
    task = opened("image-feature-extraction", tmp_path)
    inputs = task.pipe.image_processor(Image.open(photo), return_tensors="pt")
    states = task.pipe.model(**inputs).last_hidden_state
    assert states.shape == (1, 17, 16)
    assert task(photo)["vector"] == pytest.approx(states[0].mean(0).tolist(), abs=1e-6)


def test_a_model_of_pictures_and_texts_gives_the_shared_vector(photo: Path, tmp_path: Path) -> None:
    assert len(opened("image-feature-extraction", tmp_path, tiny.clip)(photo)["vector"]) == 12


def test_a_video_is_its_frames_whatever_holds_them(tmp_path: Path) -> None:
    task = opened("video-classification", tmp_path)
    frames = [Image.new("RGB", (32, 32), (shade, 255 - shade, 0)) for shade in (0, 80, 160, 240)]
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames):
        frame.save(tmp_path / "frames" / f"{index}.png")
    frames[0].save(tmp_path / "clip.webp", save_all=True, append_images=frames[1:], lossless=True)
    inputs = task.pipe.image_processor(frames, return_tensors="pt")
    shares = task.pipe.model(**inputs).logits[0].softmax(-1).tolist()
    expected = sorted(zip(shares, ("run", "sit"), strict=True), reverse=True)
    for source in (tmp_path / "frames", tmp_path / "clip.webp"):
        found = task(source)
        assert [one["label"] for one in found] == [label for _, label in expected]
        assert [one["score"] for one in found] == pytest.approx([share for share, _ in expected], abs=1e-5)


def test_a_chat_model_that_sees_answers_greedily(photo: Path, tmp_path: Path) -> None:
    task = opened("image-text-to-text", tmp_path)
    processor, model = task.pipe.processor, task.pipe.model
    inputs = processor(text="<image> who wrote ? !", images=Image.open(photo), return_tensors="pt")
    written = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    expected = processor.decode(written, skip_special_tokens=True)
    assert task(photo, "who wrote ?", max_new_tokens=4)["answer"] == expected.strip()


def test_q03_a_special_token_in_the_question_stays_text(photo: Path, tmp_path: Path) -> None:
    """Q03: a second `<image>` in the words would ask for a second picture and fail."""
    assert opened("image-text-to-text", tmp_path)(photo, "what is <image> there ?", max_new_tokens=2)["answer"]


def test_a_captioning_model_needs_no_question(photo: Path, tmp_path: Path) -> None:
    task = opened("image-text-to-text", tmp_path, tiny.git)
    alone, begun = task(photo, max_new_tokens=3), task(photo, "the river", max_new_tokens=3)
    assert alone["answer"] != begun["answer"]


def test_any_to_any_sees_as_the_picture_task_does(photo: Path, tmp_path: Path) -> None:
    folder = tiny.build(tiny.llava, tmp_path / "model")
    seen = PipelineTask.open("image-text-to-text", str(folder), tmp_path)(photo, "who ?", max_new_tokens=4)
    asked = PipelineTask.open("any-to-any", str(folder), tmp_path)("who ?", photo, max_new_tokens=4)
    assert asked == seen


def test_an_answer_on_a_page_is_made_of_its_words(photo: Path, tmp_path: Path) -> None:
    words = ["ada", "wrote", "notes", "in", "london"]
    boxes = [[word, [index * 10, 0, index * 10 + 8, 10]] for index, word in enumerate(words)]
    task = opened("document-question-answering", tmp_path)
    found = task(photo, "who wrote ?", words=boxes, top_k=3)
    assert found
    for one in found:
        assert one["answer"] == " ".join(words[one["first_word"] : one["last_word"] + 1])
        assert 0 <= one["score"] <= 1
    with pytest.raises(BadTaskOption, match="needs the page's words"):
        task(photo, "who wrote ?")


def test_speech_is_the_likeliest_symbols_without_repeats(voice: Path, tmp_path: Path) -> None:
    task = opened("automatic-speech-recognition", tmp_path)
    found = task(voice)
    inputs = task.pipe.feature_extractor(_sound(voice), sampling_rate=tiny.RATE, return_tensors="pt")
    ids = [key for key, _ in itertools.groupby(task.pipe.model(**inputs).logits[0].argmax(-1).tolist())]
    letters = ["", "", "", "", " ", *"abcdefg"]
    assert " ".join("".join(letters[index] for index in ids).split()) == " ".join(
        found["text"].replace("<unk>", "").replace("<s>", "").replace("</s>", "").split()
    )
    assert found["language"] is None
    for part in found["parts"]:
        assert 0 <= part["start"] <= part["end"] <= 1.05


def _sound(path: Path) -> Any:
    import soundfile

    return soundfile.read(path, dtype="float32")[0]


def test_a_model_of_several_languages_tells_phrases_times_and_language(voice: Path, tmp_path: Path) -> None:
    task = opened("automatic-speech-recognition", tmp_path, tiny.whisper)
    found = task(voice, language="de")
    assert found["language"] == "german"
    for part in found["parts"]:
        assert 0 <= part["start"] <= 30
        assert part["end"] is None or part["start"] <= part["end"] <= 30


def test_sounds_are_the_models_softmax(voice: Path, tmp_path: Path) -> None:
    task = opened("audio-classification", tmp_path)
    inputs = task.pipe.feature_extractor(_sound(voice), sampling_rate=tiny.RATE, return_tensors="pt")
    shares = sorted(task.pipe.model(**inputs).logits[0].softmax(-1).tolist(), reverse=True)
    assert [one["score"] for one in task(voice)] == pytest.approx(shares, abs=1e-5)


def test_another_rate_gives_nearly_the_same_sound(tmp_path: Path) -> None:
    from models.pipelines.media import read_audio

    fast, slow = tiny.recording(tmp_path / "a.wav"), tiny.recording(tmp_path / "b.wav", rate=48_000)
    a, b = read_audio(fast, tiny.RATE), read_audio(slow, tiny.RATE)
    assert a.shape == b.shape == (tiny.RATE,)
    inner = slice(200, -200)
    assert np.abs(a[inner] - b[inner]).max() < 0.02


def test_the_same_seed_says_the_same(tmp_path: Path) -> None:
    task = opened("text-to-audio", tmp_path)
    assert task.pipe
    state = torch.random.get_rng_state()
    found = [task("the river runs", folder=tmp_path / "made", seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    sounds = [Path(one["recording"]).read_bytes() for one in found]
    assert sounds[0] == sounds[1] != sounds[2]
    with wave.open(found[0]["recording"]) as file:
        assert file.getframerate() == found[0]["sampling_rate_hz"] == 8000
        assert file.getnframes() / 8000 == pytest.approx(found[0]["seconds"])


def test_a_decision_is_the_softmax_over_its_letters(tmp_path: Path) -> None:
    task = opened("decision", tmp_path)
    found = task("the river runs", "what is it about ?", labels=["river", "fish", "hill"])
    assert sum(one["score"] for one in found) == pytest.approx(1)
    assert {one["label"] for one in found} == {"river", "fish", "hill"}
    prompt = task.pipe.preprocess(
        {
            "state": "the river runs",
            "questions": {
                "asked": {
                    "type": "choice",
                    "instructions": "what is it about ?",
                    "criteria": {"river": "river", "fish": "fish", "hill": "hill"},
                }
            },
        }
    )["prompts"][0]
    inputs = dict(prompt[0])
    at = int(inputs.pop("marks")[0]) - 1
    letters = task.pipe.tokenizer.convert_tokens_to_ids(["A", "B", "C"])
    shares = task.pipe.model(**inputs).logits[0, at, letters].softmax(-1).tolist()
    assert {one["label"]: pytest.approx(one["score"], abs=1e-5) for one in found} == dict(
        zip(("river", "fish", "hill"), shares, strict=True)
    )


def test_ones_own_sounds_are_the_softmax_over_them(tmp_path: Path) -> None:
    task = opened("zero-shot-audio-classification", tmp_path)
    voice = tiny.recording(tmp_path / "voice.wav", rate=48_000)
    found = {one["label"]: one["score"] for one in task(voice, labels=["river", "fish"])}
    inputs = task.pipe.tokenizer([f"This is a sound of {label}." for label in found], padding=True, return_tensors="pt")
    inputs |= task.pipe.feature_extractor([_sound(voice)], sampling_rate=48_000, return_tensors="pt")
    shares = task.pipe.model(**inputs).logits_per_audio[0].softmax(-1)
    assert list(found.values()) == pytest.approx(shares.tolist(), abs=1e-5)


def test_a_long_recording_gives_the_same_labels_twice(tmp_path: Path) -> None:
    """The extractor reads a random part of what is longer than its window."""
    task = opened("zero-shot-audio-classification", tmp_path)
    voice = tiny.recording(tmp_path / "voice.wav", seconds=4)
    assert task(voice, labels=["river", "fish"]) == task(voice, labels=["river", "fish"])


def test_vision_and_speech_are_plain_functions(photo: Path, voice: Path, tmp_path: Path) -> None:
    from models.speech import transcribe
    from models.vision import describe_image

    seer = str(tiny.build(tiny.llava, tmp_path / "seer"))
    described = describe_image(photo, model=seer, home=tmp_path, max_new_tokens=3)
    asked = describe_image(photo.read_bytes(), model=seer, home=tmp_path, question="who ?", max_new_tokens=3)
    assert described
    assert asked == PipelineTask.open("vqa", seer, tmp_path)(photo, "who ?", max_new_tokens=3)["answer"]
    hearer = str(tiny.build(tiny.speech, tmp_path / "hearer"))
    whole = transcribe(voice, model=hearer, home=tmp_path)
    assert " ".join(part["text"] for part in whole["parts"]) == whole["text"]
