"""Importing the room settles the libraries' environment and loads none of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, **environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_importing_the_room_goes_offline_and_loads_nothing_heavy() -> None:
    heavy = run("import models, sys; print(*(m in sys.modules for m in ('torch', 'transformers', 'huggingface_hub')))")
    assert heavy == ["False", "False", "False"]
    script = "import models; from huggingface_hub import constants; print(constants.HF_HUB_OFFLINE)"
    assert run(script, HF_HUB_OFFLINE="0") == ["True"]
    late = "from huggingface_hub import constants; import models; print(constants.HF_HUB_OFFLINE)"
    assert run(late, HF_HUB_OFFLINE="0") == ["True"]


def test_what_a_person_set_is_kept() -> None:
    script = "import models, os; print(os.environ['GOMP_SPINCOUNT'], os.environ['TOKENIZERS_PARALLELISM'])"
    assert run(script, GOMP_SPINCOUNT="5") == ["5", "false"]


def test_every_public_name_resolves() -> None:
    assert run("import models; print(len([getattr(models, name) for name in models.__all__]))") == ["6"]
