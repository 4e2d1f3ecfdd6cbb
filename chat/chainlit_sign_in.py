"""Chainlit's sign-ins made ours: passwords, headers and providers lead to secrets that the server can take back.

Chainlit's own secrets hold for 15 days whatever happens (C8).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import chainlit as cl
import chainlit.auth
import chainlit.oauth_providers
import chainlit.server
from chainlit.types import ThreadDict
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from chat.backstage import Backstage
from chat.data_layer import DataLayer, as_user
from chat.errors import BadLogin, ChatError, NotSignedIn
from chat.launch import LaunchPass
from chat.log import LOGGER, escaped
from chat.logins import Logins, name_at
from chat.sign_in import SignIn

_SECONDS_AT_A_PROVIDER = 600


def own_sign_ins(backstage: Backstage, launch: LaunchPass, ways: Logins) -> None:
    """Let people in by the ways that are on, and out again.

    Raises:
        BadLogin: a provider is not known, or its variables are not set.
    """
    sign_in = backstage.chats.sign_in
    checks = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hearth-sign-in")

    async def named(name: str) -> cl.User | None:
        return await asyncio.get_running_loop().run_in_executor(checks, _admitted, sign_in, name, ways.adds_users)

    if ways.header:
        _by_header(ways.header, named)
    else:
        _by_password(sign_in, checks)
    if ways.providers:
        _by_providers(ways.providers, named)

    @cl.on_logout
    async def sign_out(request: Request, response: Any) -> dict[str, bool]:
        for secret in launch.secrets_in(request.headers.get("cookie", "")):
            sign_in.end(secret)
        return {"success": True}

    @cl.data_layer
    def data_layer() -> DataLayer:
        return DataLayer(backstage)

    if sign_in.is_shared():
        # The page offers to share once somebody says who may look; whether a thread is shared is asked of the thread.
        @cl.on_shared_thread_view
        async def may_view(thread: ThreadDict, viewer: cl.User | None) -> bool:
            return False

    def begin(data: cl.User) -> str:
        return sign_in.begin(data.identifier)

    def whose(token: str | None) -> cl.User:
        person = sign_in.person(token) if token else None
        if person is None:
            raise NotSignedIn
        return as_user(person)

    chainlit.server.create_jwt = begin  # type: ignore[attr-defined]
    chainlit.auth.decode_jwt = whose  # type: ignore[attr-defined]


def _by_password(sign_in: SignIn, checks: ThreadPoolExecutor) -> None:

    @cl.password_auth_callback
    async def check(name: str, password: str) -> cl.User | None:
        person = await asyncio.get_running_loop().run_in_executor(checks, sign_in.check, name, password)
        return as_user(person) if person else None


def _by_header(header: str, named: Any) -> None:

    @cl.header_auth_callback
    async def check(headers: Headers) -> cl.User | None:
        # The guard left the header there only if it came from the proxy.
        name = headers.get(header)
        return await named(name) if name else None


def _by_providers(wanted: tuple[str, ...], named: Any) -> None:
    """Offer the wanted ones of Chainlit's providers; the others' routes find none."""
    known = {provider.id: provider for provider in chainlit.oauth_providers.providers}
    for name in wanted:
        if name not in known:
            raise BadLogin(f"login_oauth names {name!r}, and the known providers are {', '.join(sorted(known))}")
        if not known[name].is_configured():
            variables = ", ".join(known[name].env)
            raise BadLogin(f"login_oauth names {name}, which needs these environment variables: {variables}")
    chainlit.oauth_providers.providers[:] = [known[name] for name in wanted]

    @cl.oauth_callback
    async def check(
        provider: str, token: str, raw: dict[str, str], user: cl.User, id_token: str | None = None
    ) -> cl.User | None:
        return await named(name_at(provider, str(user.identifier))) if user.identifier else None

    def remember(response: Response, token: str) -> None:
        # Strict, as our other cookies are, it would not come back with a browser that another host sends to us.
        name = chainlit.auth.cookie._state_cookie_name
        response.set_cookie(name, token, max_age=_SECONDS_AT_A_PROVIDER, httponly=True, samesite="lax")

    chainlit.server.set_oauth_state_cookie = remember  # type: ignore[attr-defined]


def _admitted(sign_in: SignIn, name: str, adds_users: bool) -> cl.User | None:
    """The user of a name that somebody was found to have; None where there is none, or they are disabled."""
    try:
        person = sign_in.people.admitted(name, adds=adds_users)
    except ChatError as error:
        LOGGER.warning("a sign-in was refused: %s", error)
        return None
    if person is None:
        shown = escaped(name)
        LOGGER.warning("%s was refused: no such user, or a disabled one; `hearth users add --no-password`", shown)
    return as_user(person) if person else None
