"""A Ray cluster for the length of a block: one of our own on this machine, or one that somebody runs.

Our own listens on the loopback address alone, asks every caller for a token, shows no dashboard and reports to nobody.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from retrieval.cluster.errors import ClusterNotStarted, ClusterUnreachable, MissingRay

LOCAL = "local"
_STORE_BYTES = 256 << 20
"""What passes through Ray's memory is lists of files and reports; its own choice is a third of the machine's."""
_PROBE_SECONDS = 5.0


@contextlib.contextmanager
def running(address: str, cpus: int | None = None) -> Iterator[None]:
    """Hold a connection to a cluster; one that this process already holds is used, and kept.

    Args:
        address: "local" starts a cluster here and ends it with the block; else the head's `host:port`, or what else
            `ray.init` takes.
        cpus: Processors that a cluster started here may use; None is all.

    Raises:
        MissingRay: Ray is not installed. ClusterNotStarted: none can be started here.
        ClusterUnreachable: nobody answers there, or another version of Ray does.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL:
        _stay_on_loopback()
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    with contextlib.ExitStack() as undo:
        undo.callback(ray.shutdown)
        with _own_signals():
            if address == LOCAL:
                _start(ray, cpus, undo)
            else:
                _connect(ray, address)
        yield


def _stay_on_loopback() -> None:
    """What Ray and the processes that it starts read; without the first line they listen on every address."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _read_again(ray: Any) -> None:
    """Have Ray take in the environment, if it was imported before that was set."""
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingRay from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors reach our own report
    return ray


def _start(ray: Any, cpus: int | None, undo: contextlib.ExitStack) -> None:
    folder = tempfile.mkdtemp(prefix="hearth-ray-", dir="/tmp")  # a socket's path may not be long
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    undo.callback(ray.shutdown)
    _read_again(ray)
    try:
        ray.init(
            address=LOCAL,
            num_cpus=cpus,
            object_store_memory=_STORE_BYTES,
            include_dashboard=False,
            _temp_dir=folder,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        raise ClusterNotStarted(_first_line(error)) from error
    found = ray.util.get_node_ip_address()
    if found not in ("127.0.0.1", "::1"):
        raise ClusterNotStarted(f"it would listen on {found}, which other machines can reach")


def _connect(ray: Any, address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for a minute
            socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, OverflowError, ray.exceptions.RayError) as error:
        raise ClusterUnreachable(address, _first_line(error)) from error


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the caller's answer to SIGTERM, which Ray replaces with its own when it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
