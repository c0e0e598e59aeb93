"""The proxies whose ``X-Forwarded-For`` is trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from authkit_issuer.errors import ConfigError

UNIX = "unix"
"""The entry for every peer of a unix socket: only processes of this machine reach it."""


class TrustedProxies:
    """The networks of ``Config.trusted_proxies``, read once."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Read the entries, each a network or ``unix``.

        Raises:
            ConfigError: An entry is neither.
        """
        given = tuple(entries)
        self.unix = UNIX in given
        self._networks = [_network(entry) for entry in given if entry != UNIX]
        # Every request asks about the same few peers.
        self._is_inside = lru_cache(maxsize=1024)(self._look)

    def __bool__(self) -> bool:
        """True if any proxy is trusted."""
        return self.unix or bool(self._networks)

    def has(self, address: str | None) -> bool:
        """True for a peer that is trusted; None is a peer without an address, that of a unix socket."""
        return self.unix if address is None else self._is_inside(address)

    def _look(self, address: str) -> bool:
        known = ipaddress.ip_address(address)
        return any(known in network for network in self._networks)


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(entry)
    except ValueError as error:
        raise ConfigError(
            f"trusted_proxies: {entry!r} is not a network such as 10.0.0.0/8, and not {UNIX}."
        ) from error
