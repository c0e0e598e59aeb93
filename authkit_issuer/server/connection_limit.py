"""How many connections there may be at once: in the process, and from one network."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable

from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.identifiers import ip_address, ip_prefix, ip_site

RESERVED = 256
"""File descriptors kept for the database, the ephemeral store, outgoing calls and logs."""
MOST = 8192
"""The most connections of a process, however many descriptors it may have."""
PER_NETWORK = 512
"""The most connections from one IPv4 address or IPv6 /64 that is no trusted proxy."""
PER_SITE = 4 * PER_NETWORK
"""The most from one IPv6 /48, of which one subscriber may have 65,536 networks."""


class Places:
    """Counts the connections of a process; a peer in ``trusted``, or on loopback, has no bound of its own."""

    def __init__(
        self,
        trusted: Iterable[str] = (),
        *,
        most: int | None = None,
        per_network: int = PER_NETWORK,
        per_site: int = PER_SITE,
    ) -> None:
        """Take the bounds; ``most`` is by default what the limit of file descriptors leaves."""
        self.most = most if most is not None else _descriptors()
        self._bounds = (per_network, per_site)
        self._trusted = TrustedProxies(trusted)
        self._taken = 0
        self._by_network: Counter[str] = Counter()

    def take(self, peer: str | None) -> bool:
        """Count a new connection; False, and nothing counted, if there is no place for it."""
        networks = self._networks(peer)
        bounds = zip(networks, self._bounds, strict=False)  # an IPv4 address has no site
        if self._taken >= self.most or any(self._by_network[network] >= bound for network, bound in bounds):
            return False
        self._taken += 1
        self._by_network.update(networks)
        return True

    def give_back(self, peer: str | None) -> None:
        """Count the end of a connection that got a place."""
        self._taken -= 1
        for network in self._networks(peer):
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]

    def _networks(self, peer: str | None) -> list[str]:
        """Return the networks that a peer counts for: none for proxies, loopback and unix sockets."""
        known = ip_address(peer)
        if known is None or self._trusted.has(known) or ipaddress.ip_address(known).is_loopback:
            return []
        site = ip_site(known)
        return [ip_prefix(known), site] if site else [ip_prefix(known)]


def _descriptors() -> int:
    try:
        import resource  # noqa: PLC0415 - not on every platform
    except ImportError:
        return MOST
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(64, min(MOST, soft - RESERVED))
