"""Ways to sign in beside a password, each off until its settings name it: a trusted proxy's header, OAuth providers.

What they say is a name; whether there is such a user, and what they may, stays with `chat/people.py`.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chat.access import Access
from chat.errors import BadLogin

if TYPE_CHECKING:
    from agent.settings import Settings

_HEADER = re.compile(r"[A-Za-z0-9-]{3,64}")
# Headers that say something else, or that a browser sends by itself.
_TAKEN = frozenset({"host", "origin", "cookie", "authorization", "accept", "referer", "user-agent", "connection"})
_FORM_POSTED = "azure-ad-hybrid"


@dataclass(frozen=True)
class Logins:
    """What may say who somebody is.

    Args:
        header: the header, in small letters, that holds a name; empty trusts none.
        proxy: the address that it is taken from, and from nowhere else.
        providers: Chainlit's ids of OAuth providers.
        adds_users: whether a name that nobody has becomes a user.
    """

    header: str = ""
    proxy: str = ""
    providers: tuple[str, ...] = ()
    adds_users: bool = False

    @property
    def are_on(self) -> bool:
        """Whether there is any, so that the home is not one person's."""
        return bool(self.header or self.providers)

    @property
    def opened(self) -> frozenset[Access]:
        """The rules whose routes answer."""
        opened = {Access.HEADER: bool(self.header), Access.OAUTH: bool(self.providers)}
        return frozenset(rule for rule, is_on in opened.items() if is_on)


def logins(settings: Settings) -> Logins:
    """The ways that the settings name.

    Raises:
        BadLogin: a header without the proxy that sends it, a name that no header or proxy can have, or two ways that
            would say different things.
    """
    header, proxy = settings.login_header.strip().lower(), settings.login_proxy.strip()
    providers = tuple(dict.fromkeys(one.strip() for one in settings.login_oauth.split(",") if one.strip()))
    if bool(header) != bool(proxy):
        raise BadLogin("login_header and login_proxy belong together: set both, or none")
    if header and (not _HEADER.fullmatch(header) or header in _TAKEN or header.startswith("sec-")):
        raise BadLogin(f"login_header is {header!r}, which cannot hold a user's name: take one such as X-Remote-User")
    if proxy and not _is_address(proxy):
        raise BadLogin(f"login_proxy is {proxy!r}, and has to be the address that the proxy connects from")
    if header and providers:
        raise BadLogin("login_header and login_oauth are both set: take one of them")
    if _FORM_POSTED in providers:
        raise BadLogin(f"{_FORM_POSTED} answers with a form of another host, which is refused here: take azure-ad")
    address = str(ipaddress.ip_address(proxy)) if proxy else ""
    return Logins(header, address, providers, settings.login_new_users == "add")


def name_at(provider: str, identifier: str) -> str:
    """What somebody of a provider is called here: their name there and the provider's, which no two people share."""
    return f"{identifier}+{provider}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
