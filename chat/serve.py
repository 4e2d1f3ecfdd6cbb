"""The server behind the chat page: Chainlit's application with the guard in front of it, on loopback only.

Everything that can go wrong at the start is checked before Chainlit is imported, and fails in one sentence.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chat.address import netloc, open_socket, own_netlocs
from chat.backstage import Backstage, HouseLike, has_stage, set_stage, stage
from chat.chainlit_setup import PageFolder, apply_settings, set_environment
from chat.errors import Unguarded
from chat.guard import Guard
from chat.launch import LaunchPass
from chat.log import LOGGER, start_log
from chat.rules import Rules

if TYPE_CHECKING:
    from agent.settings import Settings

_SECONDS_TO_FINISH = 5
# Loading the models starves the page while it is being built up; a page that is open begins it at once.
_SECONDS_BEFORE_WARM_UP = 5.0
# Far more than one person's browsers open; a flood beyond it is refused at once instead of being queued (S07).
_MOST_CONNECTIONS = 512
_LONGEST_SOCKET_MESSAGE_BYTES = 16 * 2**20


def run(house: HouseLike, *, headless: bool = False) -> None:
    """Serve the page until it is interrupted; the process ends with the server.

    Args:
        house: gives the settings (address, port, data home, upload limit) and opens the assistant.
        headless: print the link, but open no browser.

    Raises:
        ChatError: the address, the port or the data home cannot be used.
    """
    settings = house.settings
    listening = open_socket(settings.host, settings.port)
    port = listening.getsockname()[1]
    folder = PageFolder(settings.home)
    start_log(settings.home)
    backstage = Backstage(house)
    set_stage(backstage)

    base_url = f"http://{netloc(settings.host, port)}"
    launch = LaunchPass(base_url, _announcer(headless), backstage.chats.sign_in)
    app = _load_chainlit(folder, launch, settings)
    rules = Rules(own_netlocs(settings.host, port), settings.upload_limit_bytes, _public(settings), backstage.ways)
    _when_ending(backstage, folder)
    launch.new_link()
    warm_up = threading.Timer(_SECONDS_BEFORE_WARM_UP, backstage.start)
    warm_up.daemon = True
    warm_up.start()
    _server(Guard(app, rules, launch)).run(sockets=[listening])


def hand_over(arguments: Sequence[str]) -> None:
    """Go on as `hearth chat` where Chainlit's own command loaded the page; does nothing behind our own server.

    Args:
        arguments: the process's command line.

    Raises:
        Unguarded: some other program loaded the page.
    """
    if has_stage():
        return
    if Path(arguments[0]).stem != "chainlit" and Path(arguments[0]).parent.name != "chainlit":
        raise Unguarded
    from chainlit.config import config

    print("Starting `hearth chat`, which puts the guard in front of the page.", file=sys.stderr, flush=True)
    options = ["--host", str(config.run.host), "--port", str(config.run.port)]
    headless = ["--headless"] if config.run.headless else []
    # By its path: beside this package in a checkout and in an install, wherever the person stands.
    door = str(Path(__file__).resolve().parents[1] / "hearth.py")
    os.execv(sys.executable, [sys.executable, door, "chat", *options, *headless])


def _load_chainlit(folder: PageFolder, launch: LaunchPass, settings: Settings) -> Any:
    """Chainlit's application with the page's handlers registered; the order of these lines matters."""
    ways = stage().ways
    set_environment(folder.path, launch.cookie_name, keeps_providers=bool(ways.providers))
    config = importlib.import_module("chainlit.config").config
    origins = [launch.base_url, *filter(None, [_public(settings)])]
    apply_settings(config, origins=origins, upload_limit_bytes=settings.upload_limit_bytes)
    # Chainlit would open its own address, without the token.
    config.run.headless = True
    config.run.host = "127.0.0.1"
    chainlit_log = logging.getLogger("chainlit")
    chainlit_log.handlers[:] = LOGGER.handlers
    chainlit_log.propagate = False
    app = importlib.import_module("chainlit.server").app
    importlib.import_module("chat.chainlit_changes").change_chainlit(stage(), launch, ways)
    importlib.import_module("chainlit_app")
    return app


def _when_ending(backstage: Backstage, folder: PageFolder) -> None:
    """Close what is open when the server ends; Chainlit then ends the process, so nothing after it would run."""
    import chainlit as cl

    def end() -> None:
        backstage.close()
        folder.remove()

    cl.on_app_shutdown(end)


def _public(settings: Settings) -> str:
    """The origin that a proxy shows the page under, as browsers write it."""
    return settings.public_url.rstrip("/").lower()


def _announcer(headless: bool) -> Any:
    """Prints each new link; the first also goes to the browser."""
    first = True

    def announce(link: str) -> None:
        nonlocal first
        word = "Hearth is ready" if first else "To let another browser in"
        print(f"{word}: {link}", flush=True)
        if first and not headless:
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
        first = False

    return announce


def _server(app: Guard) -> Any:
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_level="error",
            access_log=False,
            server_header=False,
            # Nothing stands in front of a loopback server, so no header may say who is asking (S04).
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            ws_max_size=_LONGEST_SOCKET_MESSAGE_BYTES,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        )
    )
