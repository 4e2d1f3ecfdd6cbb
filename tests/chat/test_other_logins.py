"""Signing in by a trusted proxy's header and by OAuth, over the real server: who gets in and who does not (S02)."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
import pytest_asyncio

from agent.settings import Settings
from chat import passwords
from chat.access import ROUTES, Access
from chat.errors import BadLogin
from chat.logins import Logins, logins, name_at
from chat.people import People
from chat.store import Store
from tests.chat.server_process import ServerProcess, scripted_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "correct horse"
PUBLIC = "https://chat.example.org"
PROXY = "127.0.0.2"


@contextmanager
def _server(folder: Path, **variables: str) -> Iterator[ServerProcess]:
    """A server with settings of these names, and the users ann and ben."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_LOG_COST", 4)
        for name, value in variables.items():
            patch.setenv(name, value)
        people = People(Store(folder / "home"))
        people.add("ann", PASSWORD)
        people.add("ben", PASSWORD)
        people.add("gone", None)
        people.enable("gone", enabled=False)
        running = scripted_server(folder)
    with running:
        yield running


# A trusted proxy's header -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {"HEARTH_LOGIN_HEADER": "X-Remote-User", "HEARTH_LOGIN_PROXY": PROXY, "HEARTH_PUBLIC_URL": PUBLIC}
    with _server(tmp_path_factory.mktemp("proxy"), **settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(behind_proxy: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """What the proxy sends on: from its own address, under the public name."""
    transport = httpx.AsyncHTTPTransport(local_address=PROXY)
    headers = {"Host": "chat.example.org", "Origin": PUBLIC}
    async with httpx.AsyncClient(transport=transport, base_url=behind_proxy.url, headers=headers) as client:
        yield client


async def _enter(proxy: httpx.AsyncClient, name: str) -> str:
    answer = await proxy.post("/auth/header", headers={"X-Remote-User": name})
    assert answer.status_code == 200, answer.text
    assert "Secure" in answer.headers["Set-Cookie"]
    proxy.cookies.clear()
    return str(answer.headers["Set-Cookie"]).partition(";")[0]


async def test_whom_the_proxy_names_is_in_and_nobody_else(proxy: httpx.AsyncClient) -> None:
    assert (await proxy.get("/auth/config")).json()["headerAuth"] is True
    assert (await proxy.get("/auth/config")).json()["passwordAuth"] is False
    cookie = await _enter(proxy, "Ann")
    known = await proxy.get("/user", headers={"Cookie": cookie, "X-Remote-User": "ann"})
    assert known.json()["identifier"] == "ann"
    assert "wss://chat.example.org" in known.headers["Content-Security-Policy"]
    for stranger in ("zoe", "gone", "", "a b", "ann\x01", "you", "x" * 300):
        answer = await proxy.post("/auth/header", headers={"X-Remote-User": stranger.encode()})
        assert answer.status_code in (400, 401), stranger
        assert "Set-Cookie" not in answer.headers


async def test_g5_every_route_asks_the_proxy_again(proxy: httpx.AsyncClient, behind_proxy: ServerProcess) -> None:
    """A cookie counts only with the name that it was given to, from the proxy itself, said once."""
    cookie = await _enter(proxy, "ann")
    twice = [("X-Remote-User", "ann"), ("X-Remote-User", "ann")]
    async with httpx.AsyncClient(base_url=behind_proxy.url, headers={"Origin": behind_proxy.url}) as local:
        for client, said in (
            (proxy, []),
            (proxy, [("X-Remote-User", "ben")]),
            (proxy, twice),
            (local, [("X-Remote-User", "ann")]),
        ):
            for (method, path), rule in ROUTES.items():
                if rule is not Access.SIGNED_IN or method == "*":
                    continue
                answer = await client.request(
                    method, path.replace(":path", "").format_map(_Anything()), headers=[("Cookie", cookie), *said]
                )
                assert answer.status_code == 401, (path, said)
            refused = await client.post("/auth/header", headers=said if said != [("X-Remote-User", "ben")] else [])
            assert refused.status_code == 401, said
            assert "Set-Cookie" not in refused.headers
            client.cookies.clear()
        assert (await local.get("/auth/oauth/github")).status_code == 404
        right = {"Cookie": cookie, "X-Remote-User": "ann", "Origin": "https://evil.example"}
        assert (await proxy.get("/user", headers=right)).status_code == 403


class _Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "x"


# OAuth --------------------------------------------------------------------------------------------------------------


class _Provider(BaseHTTPRequestHandler):
    """A provider that gives a token for the code `code-of-NAME`, and says that its user is NAME."""

    def do_POST(self) -> None:
        given = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer({"access_token": given["code"][0].removeprefix("code-of-")})

    def do_GET(self) -> None:
        self._answer({"email": self.headers["Authorization"].removeprefix("Bearer ")})

    def _answer(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=["refuse", "add"])
def with_provider(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, provider: str
) -> Iterator[tuple[ServerProcess, People, str]]:
    folder = tmp_path_factory.mktemp("oauth")
    settings = {
        "HEARTH_LOGIN_OAUTH": "generic", "HEARTH_LOGIN_NEW_USERS": request.param, "OAUTH_GENERIC_CLIENT_ID": "hearth",
        "OAUTH_GENERIC_CLIENT_SECRET": "secret", "OAUTH_GENERIC_AUTH_URL": f"{provider}/authorize",
        "OAUTH_GENERIC_TOKEN_URL": f"{provider}/token", "OAUTH_GENERIC_USER_INFO_URL": f"{provider}/user",
        "OAUTH_GENERIC_SCOPES": "email", "OAUTH_GITHUB_CLIENT_ID": "x", "OAUTH_GITHUB_CLIENT_SECRET": "x",
    }  # fmt: skip
    with _server(folder, **settings) as running:
        people = People(Store(folder / "home"))
        people.add("eve@example.org+generic", None)
        yield running, people, request.param


async def _come_back(web: httpx.AsyncClient, name: str, state: str | None = None) -> httpx.Response:
    """Leave for the provider, and come back as a browser does that another host sends."""
    left = await web.get("/auth/oauth/generic")
    asked = parse_qs(urlsplit(left.headers["Location"]).query)
    assert asked["redirect_uri"] == [f"{str(web.base_url).rstrip('/')}/auth/oauth/generic/callback"]
    query = urlencode({"code": f"code-of-{name}", "state": state or asked["state"][0]})
    return await web.get(f"/auth/oauth/generic/callback?{query}", headers={"Sec-Fetch-Site": "cross-site"})


async def test_s02_a_provider_lets_in_its_own_people_alone(with_provider: tuple[ServerProcess, People, str]) -> None:
    server, people, new_users = with_provider
    async with httpx.AsyncClient(base_url=server.url) as web:
        assert (await web.get("/auth/config")).json()["oauthProviders"] == ["generic"]
        back = await _come_back(web, "Eve@example.org")
        assert back.headers["Location"].startswith("/login/callback")
        cross = {"Sec-Fetch-Site": "cross-site", "Accept": "text/html"}
        assert (await web.get("/login/callback?success=True", headers=cross)).status_code == 200
        assert (await web.get("/user")).json()["identifier"] == "eve@example.org+generic"
        assert (await web.get("/", headers=cross)).status_code == 403
    # The provider's `ann` is not the Ann who has a password here.
    async with httpx.AsyncClient(base_url=server.url) as web:
        back = await _come_back(web, "ann")
        if new_users == "add":
            assert (await web.get("/user")).json()["identifier"] == "ann+generic"
            assert (await web.get("/user")).json()["metadata"] == {"admin": False}
        else:
            assert "error" in back.headers["Location"]
            assert (await web.get("/user")).status_code == 401
    known = {user.name for user in people.users()}
    assert ("ann+generic" in known) == (new_users == "add")


async def test_s02_what_no_provider_said_lets_nobody_in(with_provider: tuple[ServerProcess, People, str]) -> None:
    server, people, _ = with_provider
    people.enable("eve@example.org+generic", enabled=False)
    for name, state in (
        ("eve@example.org", None),
        ("eve@example.org", "a state of somebody else's"),
        ("a name with spaces", None),
    ):
        async with httpx.AsyncClient(base_url=server.url) as web:
            back = await _come_back(web, name, state)
            assert urlsplit(back.headers["Location"]).path == "/login"
            assert (await web.get("/user")).status_code == 401
    people.enable("eve@example.org+generic")
    async with httpx.AsyncClient(base_url=server.url, headers={"Origin": server.url}) as web:
        assert (await web.get("/auth/oauth/github")).status_code == 404  # configured, but not named by the setting
        assert (await web.post("/auth/header", headers={"X-Remote-User": "ann"})).status_code == 404
        assert (await web.post("/auth/oauth/azure-ad-hybrid/callback")).status_code == 404
        wrong = await web.post("/login", data={"username": "eve@example.org+generic", "password": ""})
        assert wrong.status_code in (401, 422)
        right = await web.post("/login", data={"username": "ann", "password": PASSWORD})
        assert right.status_code == 200


# Settings -----------------------------------------------------------------------------------------------------------


async def test_ways_to_sign_in_are_off_until_they_are_named(tmp_path: Path) -> None:
    assert logins(Settings(home=tmp_path)) == Logins()
    assert not Logins().are_on
    on = logins(Settings(home=tmp_path, login_header="X-Remote-User", login_proxy="0:0::1"))
    assert (on.header, on.proxy, on.opened) == ("x-remote-user", "::1", {Access.HEADER})
    assert logins(Settings(home=tmp_path, login_oauth=" github, google ,")).providers == ("github", "google")
    assert name_at("google", "ann+github@example.org") != name_at("github", "ann@example.org")


@pytest.mark.parametrize(
    "settings",
    [
        {"login_header": "X-Remote-User"},
        {"login_proxy": "127.0.0.1"},
        {"login_header": "X-Remote-User", "login_proxy": "proxy.example"},
        {"login_header": "Cookie", "login_proxy": "127.0.0.1"},
        {"login_header": "Sec-Fetch-Site", "login_proxy": "127.0.0.1"},
        {"login_header": "X Remote", "login_proxy": "127.0.0.1"},
        {"login_header": "X-Remote-User", "login_proxy": "127.0.0.1", "login_oauth": "github"},
        {"login_oauth": "azure-ad-hybrid"},
    ],
    ids=str,
)
async def test_settings_that_do_not_fit_are_named(settings: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BadLogin):
        logins(Settings(home=tmp_path, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(("named", "said"), [("github", "OAUTH_GITHUB_CLIENT_ID"), ("nobody", "keycloak")])
async def test_a_provider_that_is_not_set_up_is_named_at_the_start(tmp_path: Path, named: str, said: str) -> None:
    with pytest.raises(AssertionError, match=said), _server(tmp_path, HEARTH_LOGIN_OAUTH=named):
        pass
