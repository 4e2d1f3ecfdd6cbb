"""Starts the real page over the scripted assistant; run as a program by the tests."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from doubles_assistant import ScriptedHouse  # noqa: E402

from agent.settings import load_settings  # noqa: E402
from chat.serve import run  # noqa: E402

if __name__ == "__main__":
    home, port = sys.argv[1:3]
    limit = int(sys.argv[3]) if len(sys.argv) > 3 else 100 * 2**20
    settings = load_settings({"home": home, "port": int(port), "upload_limit_bytes": limit})
    run(ScriptedHouse(settings), headless=True)
