"""Every value a person can set, where it came from, and the only reader of the environment.

Order of precedence: command-line flag, then `HEARTH_<NAME>`, then `hearth.toml` in the data home, then the default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.errors import BadSetting, UnknownSetting
from agent.setting_checks import address, hidden, https_origin, positive, share
from agent.setting_tables import PARSERS
from models.home import data_home
from models.profiles import AUTO, PROFILE_NAMES

_ENGINES = ("auto", "torch", "openvino")
_TRACES = ("off", "lines", "spans")
_STRATEGIES = ("auto", "router", "loop")
_PROFILES = (AUTO, *PROFILE_NAMES)
_NAMES = "a name, hub id or folder; empty takes what is promoted, else the profile's"
PREFIX = "HEARTH_"
FILE_NAME = "hearth.toml"
# Read by models/home.py, before there are settings.
_OTHER_VARIABLES = {"HEARTH_HOME"}


def _setting(default: Any, help: str, check: Callable[[Any], bool] | None = None, expected: str = "") -> Any:
    return field(default=default, metadata={"help": help, "check": check, "expected": expected})


@dataclass(frozen=True)
class Settings:
    """The resolved settings of one run; change them with `dataclasses.replace` or by loading again."""

    home: Path = field(default_factory=data_home, metadata={"help": "the one data folder", "check": None})
    profile: str = _setting(
        "auto",
        "which set of models serves: auto takes the largest that this machine carries",
        lambda v: v in _PROFILES,
        "auto, tiny, small, base or gpu",
    )
    chat_model: str = _setting("", f"the chat model: {_NAMES}")
    embed_model: str = _setting("", f"the embedding model: {_NAMES}")
    chat_key_variable: str = _setting("", "the environment variable with the API key of a chat model elsewhere; none")
    embed_key_variable: str = _setting("", "the same for an embedding model on another machine; none by default")
    chat_context_tokens: int = _setting(
        8192, "tokens that a chat model on another machine reads at once", positive, "a whole number above 0"
    )
    remote_timeout_seconds: float = _setting(
        60.0, "the longest wait for a model on another machine", positive, "a number above 0"
    )
    classify_model: str = _setting("", f"the trained classifier: {_NAMES}")
    zero_shot_model: str = _setting("", f"a model for labels of one's own: {_NAMES}")
    entities_model: str = _setting("", f"the recogniser of named entities: {_NAMES}")
    extract_model: str = _setting("", f"the reader that answers with a span: {_NAMES}")
    summarize_model: str = _setting("", f"the model that summarises: {_NAMES}")
    translate_model: str = _setting("", f"the translation model: {_NAMES}")
    fill_mask_model: str = _setting("", f"the masked language model: {_NAMES}")
    features_model: str = _setting("", f"the encoder for token features: {_NAMES}")
    rerank_model: str = _setting("", f"the cross-encoder for ranking: {_NAMES}")
    table_answer_model: str = _setting("", f"the model for questions about tables: {_NAMES}")
    support_model: str = _setting("", f"what judges whether a passage supports a sentence: {_NAMES}")
    route_model: str = _setting("", f"what chooses the tool for a message: {_NAMES}")
    tasks: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata={"help": "the models of the tasks that `hearth task list` shows, as task = name", "check": None},
    )
    mcp: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}),
        metadata={"help": "MCP servers whose tools may be used, as name = command of this machine", "check": None},
    )
    strategy: str = _setting(
        "auto",
        "who picks the tools: router, the model itself in a loop, or auto by what the chat model can do",
        lambda v: v in _STRATEGIES,
        "auto, router or loop",
    )
    tool_timeout_seconds: float = _setting(300.0, "the longest one tool may take", positive, "a number above 0")
    loop_model_calls: int = _setting(8, "model calls of one answer in a loop", positive, "a whole number above 0")
    loop_tool_calls: int = _setting(12, "tool calls of one answer in a loop", positive, "a whole number above 0")
    loop_tokens: int = _setting(
        40_000, "tokens read and written by one answer in a loop", positive, "a whole number above 0"
    )
    library_url: str = _setting(
        "",
        "a PostgreSQL server that keeps the library instead of the data home, postgresql://user@host/database; "
        "its password is read from PGPASSWORD or ~/.pgpass",
        address,
        "postgresql://user@host/database without a password, which belongs into PGPASSWORD or ~/.pgpass",
    )
    collection: str = _setting("default", "the collection that files go into and questions search")
    top_k: int = _setting(4, "passages shown to the model", positive, "a whole number above 0")
    relevance_floor: float = _setting(
        0.39, "probability below which the documents count as silent on a question", share, "a number from 0 to 1"
    )
    support_floor: float = _setting(
        0.6,
        "probability that a source supports a sentence, or without a model the share of its content there",
        share,
        "a number from 0 to 1",
    )
    max_new_tokens: int = _setting(256, "the longest reply, in tokens", positive, "a whole number above 0")
    temperature: float = _setting(
        0.0, "0 always picks the likeliest token; higher varies", lambda v: 0 <= v <= 2, "a number from 0 to 2"
    )
    answer_timeout_seconds: float = _setting(120.0, "the longest one answer may take", positive, "a number above 0")
    survey_documents: int = _setting(
        200, "documents read for one question over many of them", positive, "a whole number above 0"
    )
    survey_timeout_seconds: float = _setting(
        600.0, "the longest that a question over many documents may take", positive, "a number above 0"
    )
    engine: str = _setting(
        "auto", "auto, torch or openvino: what runs the chat model", lambda v: v in _ENGINES, "auto, torch or openvino"
    )
    trace: str = _setting(
        "off",
        "lines keeps every step of an answer in the data home's traces, spans gives them to OpenTelemetry",
        lambda v: v in _TRACES,
        "off, lines or spans",
    )
    suggestions: str = _setting(
        "on",
        "on offers questions that go on from an answer, under it in the chat",
        lambda v: v in ("on", "off"),
        "on or off",
    )
    embed_cache: str = _setting(
        "off",
        "on keeps passages' vectors by text hash, deleted documents' too, so that none is embedded twice",
        lambda v: v in ("on", "off"),
        "on or off",
    )
    chats_url: str = _setting(
        "",
        "a PostgreSQL server that keeps chats, feedback and users instead of the data home; written as library_url is",
        address,
        "postgresql://user@host/database without a password, which belongs into PGPASSWORD or ~/.pgpass",
    )
    host: str = _setting("127.0.0.1", "the address the chat listens on")
    port: int = _setting(
        8000, "the port the chat listens on", lambda v: 0 < v < 65536, "a whole number from 1 to 65535"
    )
    public_url: str = _setting(
        "",
        "the https address under which a reverse proxy on this machine shows the chat, such as https://chat.example.org",
        https_origin,
        "empty, or https://name without a path",
    )
    login_header: str = _setting("", "the header in which a trusted reverse proxy says who is asking; none by default")
    login_proxy: str = _setting(
        "", "the address that this proxy connects from, such as 127.0.0.1; goes with login_header"
    )
    login_oauth: str = _setting(
        "", "OAuth providers for signing in, such as github,google; their keys stay in Chainlit's OAUTH_ variables"
    )
    login_new_users: str = _setting(
        "refuse",
        "add makes a user of whoever the proxy or a provider names; refuse lets in those of `hearth users add` alone",
        lambda v: v in ("refuse", "add"),
        "refuse or add",
    )
    upload_limit_bytes: int = _setting(
        100 * 2**20, "the largest file the chat accepts", positive, "a whole number above 0"
    )
    origins: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False, metadata={"help": "", "check": None}
    )

    @property
    def library_path(self) -> Path:
        """Where the documents, chunks and vectors are kept, unless `library_url` names a server."""
        return self.home / "library"

    def key(self, setting: str) -> str | None:
        """The API key in the variable that a setting names, read when it is needed and kept nowhere; None for none.

        Raises:
            BadSetting: the variable is not set.
        """
        variable = getattr(self, setting)
        if variable and not os.environ.get(variable):
            origin = self.origins.get(setting, "default")
            raise BadSetting(setting, variable, origin, "the name of an environment variable that is set")
        return os.environ[variable] if variable else None

    def table(self) -> list[dict[str, Any]]:
        """Every setting as `{name, value, origin, environment, help}`, in declaration order."""
        return [
            {
                "name": name,
                "value": _plain(getattr(self, name)),
                "origin": self.origins.get(name, "default"),
                "environment": PREFIX + name.upper(),
                "help": spec.metadata["help"],
            }
            for name, spec in _specs().items()
        ]


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else value


def _specs() -> dict[str, Any]:
    return {spec.name: spec for spec in fields(Settings) if spec.name != "origins"}


def load_settings(flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Resolve the settings.

    Args:
        flags: values from the command line or a caller, None meaning "not given"; `home` may be among them.
        environment: the variables to read; None reads the process's own.

    Raises:
        BadSetting: a value of the wrong type or outside its range, with where it was found.
        UnknownSetting: a name in the file, the environment or the flags that no setting has.
    """
    environment = os.environ if environment is None else environment
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    home_flag = given.pop("home", None)
    home = data_home(home_flag or environment.get("HEARTH_HOME"))
    values: dict[str, Any] = {"home": home}
    origins = {"home": "flag" if home_flag else "HEARTH_HOME" if environment.get("HEARTH_HOME") else "default"}
    layers = (
        (str(home / FILE_NAME), _read_file(home / FILE_NAME)),
        (None, _from_environment(environment)),
        ("flag", given),
    )
    for origin, layer in layers:
        for name, raw in layer.items():
            source = origin or PREFIX + name.upper()
            values[name] = _parse(name, raw, source)
            origins[name] = source
    return Settings(**values, origins=MappingProxyType(origins))


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(FILE_NAME, str(error), str(path), "a valid TOML file") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in _OTHER_VARIABLES
    }


def _parse(name: str, raw: Any, origin: str) -> Any:
    specs = _specs()
    if name not in specs or name == "home":
        raise UnknownSetting(name, origin, difflib.get_close_matches(name, specs, n=2))
    if name in PARSERS:
        return PARSERS[name](raw, origin)
    kind = type(specs[name].default)
    expected = specs[name].metadata["expected"] or {str: "text", int: "a whole number", float: "a number"}[kind]
    try:
        value = kind(raw) if isinstance(raw, str) or type(raw) is int else raw
    except ValueError as error:
        raise BadSetting(name, raw, origin, expected) from error
    check = specs[name].metadata["check"]
    if type(value) is not kind or (check and not check(value)):
        raise BadSetting(name, hidden(raw), origin, expected)
    return value
