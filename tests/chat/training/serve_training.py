"""Starts the real page over the scripted assistant, with a tiny encoder to train on; run as a program by the tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from agent.assembly import House
from agent.settings import load_settings
from chat.serve import run
from chat.training import recipe
from models.tasks import Tasks
from tests.doubles_assistant import ScriptedHouse


class TrainingHouse(ScriptedHouse):
    """The scripted assistant beside real task models."""

    def tasks(self) -> Tasks:
        return House(self.settings).tasks()


def learn_quickly(encoder: str) -> None:
    """Recipes for an encoder so small that it must learn everything anew."""
    whole = recipe.classifier

    def classifier(*arguments: Any, **options: Any) -> dict[str, Any]:
        made = whole(*arguments, **options)
        training = made["training"] | {"learning_rate": 3e-3, "epochs": 60, "evaluate_every_steps": 60, "threads": 1}
        return made | {"base": encoder, "method": {"kind": "full"}, "training": training}

    recipe.classifier = classifier


if __name__ == "__main__":
    home, port, encoder = sys.argv[1:]
    learn_quickly(encoder)
    run(TrainingHouse(load_settings({"home": home, "port": int(port)})), headless=True)
