"""What training showed a model for the probe texts, token by token, kept beside its weights until it is promoted.

A template or tokenizer that has become another since then would show the model texts that it never learned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.engines.parity import PROBES, probe_prompts
from models.files import read_json

FILE = "probes.json"


def write_probes(folder: Path, tokenizer: Any) -> None:
    """Keeps the probe texts' tokens, in the tokenizer's chat form where it has one, in a model's folder."""
    (folder / FILE).write_text(json.dumps({"tokens": probe_prompts(tokenizer)}), encoding="utf-8")


def probe_problems(folder: Path, tokenizer: Any) -> list[str]:
    """What differs from the tokens kept in a folder, as one sentence; nothing where none are kept.

    Raises:
        BrokenModel: the file cannot be read.
    """
    kept = read_json(folder / FILE).get("tokens")
    if kept is None:
        return []
    now = probe_prompts(tokenizer)
    odd = [at for at in range(len(PROBES)) if at >= len(kept) or kept[at] != now[at]]
    if not odd:
        return []
    before, after = (kept[odd[0]] if odd[0] < len(kept) else []), now[odd[0]]
    place = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(before))
    return [
        f"its template or tokenizer gives {len(odd)} of {len(PROBES)} probe texts other tokens than it learned from "
        f"({len(before)} and {len(after)} tokens, the first difference at {place})"
    ]
