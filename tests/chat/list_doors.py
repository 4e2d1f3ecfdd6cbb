"""Prints every route and socket event of the application as `hearth chat` would serve it; run by the tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.settings import load_settings
from chat.backstage import Backstage, set_stage
from chat.chainlit_setup import PageFolder
from chat.launch import LaunchPass
from chat.serve import _load_chainlit
from tests.doubles_assistant import ScriptedHouse


def doors(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Method and path of each route, those of included routers too; `*` for an application of its own."""
    for route in routes:
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if inner is not None:
            yield from doors(inner.routes, prefix)
        elif (methods := getattr(route, "methods", None)) is not None:
            wanted = methods - {"HEAD"} or {"HEAD"}
            yield from ((method, prefix + route.path) for method in wanted)
        else:
            yield "*", prefix + route.path


if __name__ == "__main__":
    home = Path(sys.argv[1])
    stage = Backstage(ScriptedHouse(load_settings({"home": str(home)})))
    set_stage(stage)
    launch = LaunchPass("http://127.0.0.1:8000", print, stage.chats.sign_in)
    app = _load_chainlit(PageFolder(home), launch, stage.settings)
    from chainlit.server import sio

    found = {"routes": sorted(set(doors(app.routes))), "events": sorted(sio.handlers["/"])}
    print(json.dumps(found), flush=True)
    os._exit(0)
