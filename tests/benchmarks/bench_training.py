"""Seconds to the same loss: `hearth train run` beside a plain Hugging Face Trainer, in one run on the same rows.

Both fine-tune the embedded sentence encoder on SST-2 phrases for the same epochs, batch size, rate and schedule; the
plain one computes in float32 and pads every row to the longest of the set, as its tutorials do. The held-out loss of
both is computed by one function, so that speed bought with quality would show.
Run: `python -m tests.benchmarks.bench_training [--rows N] [--epochs N] [--home FOLDER]`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from models.prepare import prepare_embedded
from tests.benchmarks.first_light import SHARED

BATCH_ROWS, LEARNING_RATE, HELD_OUT_ROWS = 32, 1e-4, 872


def read(name: str, rows: int) -> list[dict[str, Any]]:
    """The first rows of a part of SST-2 whose text was not there before."""
    with gzip.open(SHARED / "sst2" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        every = {row["text"]: row for row in map(json.loads, lines)}
    return list(every.values())[:rows]


def own_seconds(train: list[dict[str, Any]], epochs: int, home: Path, folder: Path) -> tuple[float, Path]:
    """Learning time of our run, from its beginning to its last step, and its model."""
    from training.recipe import recipe_from
    from training.run import run

    for name, rows in (("train", train), ("test", train[:40])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    times: dict[str, float] = {}
    table = {
        "name": "throughput", "base": "all-minilm-l6-v2", "seed": 0, "task": {"kind": "sequence-classification"},
        "data": {"train": "train.jsonl", "test": "test.jsonl", "split": {"validation": 0.0},
                 "limits": {"leaks": 1.0, "contradictions": 1.0}},
        "training": {"epochs": epochs, "batch_rows": BATCH_ROWS, "learning_rate": LEARNING_RATE, "weight_decay": 0.0,
                     "warmup": 0.0, "checkpoint_every_seconds": 0},
    }  # fmt: skip
    run(
        recipe_from(table, folder / "throughput.toml"), home=home, folder=folder / "run",
        show=lambda line: times.__setitem__(line["event"], time.perf_counter()),
    )  # fmt: skip
    return times["step"] - times["began"], folder / "run" / "model"


def plain_seconds(train: list[dict[str, Any]], epochs: int, base: Path, folder: Path) -> tuple[float, Path]:
    """Learning time of a Trainer with its defaults, and its model."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, set_seed

    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    longest = max(map(len, tokenizer([row["text"] for row in train])["input_ids"]))
    encoded = tokenizer([row["text"] for row in train], padding="max_length", max_length=longest, truncation=True)
    rows = Dataset.from_dict({**encoded, "labels": [int(row["label"]) for row in train]})
    arguments = TrainingArguments(
        output_dir=str(folder / "plain"), num_train_epochs=epochs, per_device_train_batch_size=BATCH_ROWS,
        learning_rate=LEARNING_RATE, use_cpu=not torch.cuda.is_available(), save_strategy="no", report_to=[],
        disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    model.save_pretrained(folder / "plain-model")
    tokenizer.save_pretrained(folder / "plain-model")
    return seconds, folder / "plain-model"


def held_out_loss(model_folder: Path, rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean cross-entropy in nats and accuracy of a saved classifier in float32; labels go by their order of names."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModelForSequenceClassification.from_pretrained(model_folder, dtype=torch.float32).eval()
    loss, right = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            labels = torch.tensor([int(row["label"]) for row in part])
            logits = model(**tokenizer([row["text"] for row in part], padding=True, return_tensors="pt")).logits
            loss += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            right += int((logits.argmax(-1) == labels).sum())
    return loss / len(rows), right / len(rows)


def measure(rows: int, epochs: int, home: Path) -> dict[str, Any]:
    """Both ways one after the other."""
    base = prepare_embedded(home)["all-minilm-l6-v2"]
    train, held_out = read("train", rows), read("dev", HELD_OUT_ROWS)
    found: dict[str, Any] = {"rows": rows, "epochs": epochs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain, plain_model = plain_seconds(train, epochs, base, folder)
        own, own_model = own_seconds(train, epochs, home, folder)
        for kind, seconds, model in (("plain", plain, plain_model), ("own", own, own_model)):
            loss, accuracy = held_out_loss(model, held_out)
            found[kind] = {
                "seconds": round(seconds, 1),
                "held_out_loss": round(loss, 4),
                "accuracy": round(accuracy, 4),
            }
    return found | {"times_faster": round(plain / own, 2)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6400)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        print(json.dumps(measure(options.rows, options.epochs, options.home or Path(temporary)), indent=1))
