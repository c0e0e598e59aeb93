"""Where webhooks may go: an operator's URL must not make this machine call what only it can reach."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from authkit_issuer.config import Config
from authkit_verify.config.allowed_urls import is_allowed_url

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_URL = 2000
MAX_ADDRESSES = 4
"""Addresses of a host that are tried."""
MAX_LOOKUPS = 2
"""Names that are resolved at once. The threads for it are few, and the database and Redis need them, too."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # protocol assignments (RFC 6890)
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, deprecated (RFC 7526)
    ipaddress.IPv4Network("168.63.129.16/32"),  # the host of each virtual machine of Azure
    ipaddress.IPv6Network("3fff::/20"),  # documentation (RFC 9637)
)
"""What the standard library of some version takes for global."""


class AddressRefused(Exception):
    """The host of a URL has no address that webhooks may go to; the text says why."""


def is_url(config: Config, url: str) -> bool:
    """True for https, and outside of production for http to this machine."""
    return len(url) <= MAX_URL and is_allowed_url(url, http_loopback=not config.is_production)


class Names:
    """Resolves the hosts of URLs, few at once."""

    def __init__(self, config: Config) -> None:
        """Take what says which networks are allowed."""
        self._config = config
        self._places = asyncio.Semaphore(MAX_LOOKUPS)

    async def addresses_of(self, url: str) -> list[Address]:
        """Return the addresses of the URL's host that webhooks may go to.

        The caller connects to one of them and looks no name up again: a name may have other addresses the
        next time.

        Raises:
            AddressRefused: There is none.
            OSError: The name cannot be resolved.
        """
        host = urlsplit(url).hostname or ""
        addresses = await self._resolved(host)
        allowed = [address for address in addresses if _is_allowed(self._config, address)]
        if not allowed:
            raise AddressRefused(
                f"{host} has the address {addresses[0]}, which is not public: allow its network in "
                "webhook_networks"
            )
        return allowed[:MAX_ADDRESSES]

    async def _resolved(self, host: str) -> list[Address]:
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            found = await self._looked_up(host)
        texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found)
        return [ipaddress.ip_address(text) for text in texts]

    async def _looked_up(self, host: str) -> list[Any]:
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        looking = asyncio.ensure_future(loop.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        looking.add_done_callback(self._ended)
        # Its thread waits for the name server even if the caller gives up: until then the place is taken.
        return await asyncio.shield(looking)

    def _ended(self, looking: asyncio.Future[Any]) -> None:
        self._places.release()
        if not looking.cancelled():
            looking.exception()  # its caller may be gone


def _is_allowed(config: Config, address: Address) -> bool:
    meant = embedded(address)
    if meant.is_loopback and not config.is_production:
        return True
    if any(meant in ipaddress.ip_network(network) for network in config.webhook_networks):
        return True
    return is_public(meant)


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def is_public(address: Address) -> bool:
    """True for an address of the public Internet with one owner."""
    unusual = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    # Site-local networks are deprecated (RFC 3879), and private where they are still in use.
    private = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (unusual or private or any(address in one for one in _NOT_PUBLIC))
