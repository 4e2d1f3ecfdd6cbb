"""Where the page listens: loopback only, and a clear word when the port is taken.

The socket is opened here, before the server starts, so that a wrong address fails in a sentence and not in a log.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from chat.errors import NotLoopback, PortInUse, PortRefused

_BACKLOG = 128


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Args:
        host: `localhost` or a loopback IP address.
        port: 0 lets the system choose.

    Raises:
        NotLoopback: the address can be reached from other machines, or is no address.
        PortInUse: something listens there already.
        PortRefused: the system does not allow it.
    """
    address = _loopback(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        # Lets a restart take the port while old connections time out; elsewhere it would allow stealing the port.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((str(address), port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise PortInUse(port, _holder(port)) from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PortRefused(host, port, reason) from error
    return listening


def netloc(host: str, port: int) -> str:
    """`host:port` as a browser writes it; IPv6 in brackets, and no port where it is http's own."""
    name = f"[{host}]" if ":" in host else host
    return name if port == 80 else f"{name}:{port}"


def own_netlocs(host: str, port: int) -> frozenset[str]:
    """Every way to write this server's own address; anything else in a Host header is foreign."""
    address = _loopback(host)
    names = {str(address)}
    if str(address) in ("127.0.0.1", "::1"):
        names.add("localhost")
    return frozenset(netloc(name, port) for name in names)


def _loopback(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host.lower() == "localhost" else host.strip("[]"))
    except ValueError as error:
        raise NotLoopback(host) from error
    if not address.is_loopback:
        raise NotLoopback(host)
    return address


def _holder(port: int) -> str | None:
    """The program that listens on a port, such as `python (process 4242)`; None where the system does not tell."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        return None
    return None
