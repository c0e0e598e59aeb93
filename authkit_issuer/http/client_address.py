"""The address of the client, behind proxies that are trusted; and requests of this machine alone."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from functools import lru_cache

from starlette.types import Scope

from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.errors import Denied
from authkit_issuer.identifiers import MAX_USER_AGENT, ip_address, user_agent
from authkit_issuer.ports import Client

_MAX_HOPS = 32
_OF_PROXIES = frozenset({b"forwarded", b"via", b"x-real-ip"})

logger = logging.getLogger("authkit.http")


class LoopbackOnly(Denied):
    """The operation is for this machine alone."""

    code = "loopback_only"
    default = "This is answered only on this machine, under a loopback host name."


def client_facts(scope: Scope, trusted: TrustedProxies, device: str | None = None) -> Client:
    """Return the caller's address and user agent, and the device token that came with the request.

    The address is the peer's. ``X-Forwarded-For`` is read only when the peer is a trusted proxy, and from the
    right: each trusted hop vouches for the one before it, and the first that is not trusted is the caller.
    What stands further left is the caller's own word.
    """
    address = ip_address(_peer(scope))  # None: a unix socket
    agent: str | None = None
    forwarded: list[str] = []
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value[:MAX_USER_AGENT].decode("latin-1")
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
    if forwarded and trusted:
        address = _walk(address, ",".join(forwarded).split(","), trusted)
    elif forwarded:
        _warn_of_proxy(address)
    return Client(ip=address, user_agent=user_agent(agent), device=device)


def comes_from(scope: Scope, trusted: TrustedProxies) -> bool:
    """True if the peer is a trusted proxy."""
    return trusted.has(ip_address(_peer(scope)))


def _walk(peer: str | None, hops: Sequence[str], trusted: TrustedProxies) -> str | None:
    address = peer
    for hop in list(reversed(hops))[:_MAX_HOPS]:
        if not trusted.has(address):
            return address
        before = ip_address(_without_port(hop.strip()))
        if before is None:
            # A proxy that writes no address vouches for no hop before it: stop at the last known one.
            return address
        address = before
    return address


@lru_cache(maxsize=16)
def _warn_of_proxy(peer: str | None) -> None:
    """Warn once about a near proxy that is not trusted: all behind it are one address."""
    if peer is None:
        logger.warning(
            "forwarded addresses on the unix socket are ignored: add unix to trusted_proxies "
            "(AUTHKIT_TRUSTED_PROXIES)"
        )
    elif ipaddress.ip_address(peer).is_private:
        logger.warning(
            "forwarded addresses from %s are ignored: add it to trusted_proxies (AUTHKIT_TRUSTED_PROXIES) if "
            "it is your proxy",
            peer,
        )


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        address, _, rest = hop[1:].partition("]")
        return address if not rest or (rest[0] == ":" and rest[1:].isdigit()) else hop
    host, colon, port = hop.partition(":")
    return host if colon and port.isdigit() else hop


def require_loopback(scope: Scope) -> None:
    """Raise ``LoopbackOnly`` unless peer and ``Host`` are loopback and no proxy stands between.

    The ``Host`` matters because a web page can point its own name at 127.0.0.1 (DNS rebinding).
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    forwarded = any(name in _OF_PROXIES or name.startswith(b"x-forwarded-") for name, _ in headers)
    if (
        forwarded
        or len(hosts) != 1
        or not _is_loopback(_host_name(hosts[0]))
        or not _is_loopback(_peer(scope))
    ):
        raise LoopbackOnly


def _peer(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _host_name(host: str) -> str:
    name = _without_port(host)
    if "%" in name:
        return ""
    return "127.0.0.1" if name.lower() == "localhost" else name


def _is_loopback(address: str | None) -> bool:
    canonical = ip_address(address)
    return canonical is not None and ipaddress.ip_address(canonical).is_loopback
