"""Starts the real page over the scripted assistant; run as a program by the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.settings import load_settings
from chat.serve import run
from tests.doubles_assistant import ScriptedHouse

if __name__ == "__main__":
    home, port = sys.argv[1:3]
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else 100 * 2**20
    settings = load_settings({"home": home, "port": int(port), "upload_limit_bytes": limit})
    run(ScriptedHouse(settings), headless=True)
