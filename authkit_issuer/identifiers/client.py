"""What a client shows of itself: address, network and user agent; and which texts PostgreSQL stores."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

MAX_USER_AGENT = 512
_LONGEST_ADDRESS = len("0000:0000:0000:0000:0000:ffff:255.255.255.255")
_BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex"), ("FxiOS/", "Firefox"), ("Firefox/", "Firefox"), ("CriOS/", "Chrome"),
    ("HeadlessChrome/", "Chrome"), ("Chrome/", "Chrome"), ("Chromium/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
"""What names a browser, the more special ones first: most call themselves Chrome and Safari, too."""


def user_agent(text: str | None) -> str | None:
    """Return the user agent as it may be stored: no control characters, at most 512 characters."""
    if not text:
        return None
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.strip()[:MAX_USER_AGENT] or None


def browser_family(user_agent: str | None) -> str:
    """Return the family of the browser that a user agent names, such as ``Firefox``; ``""`` if it is none."""
    for mark, family in _BROWSERS:
        if user_agent and mark in user_agent:
            return family
    return ""


def ip_address(text: str | None) -> str | None:
    """Return the address in canonical form with an IPv4-mapped one unwrapped, or None when it is not one."""
    address = text.partition("%")[0] if text else ""
    return _canonical(address) if len(address) <= _LONGEST_ADDRESS else None


def ip_prefix(text: str | None) -> str:
    """Return what limits and comparisons go by: the IPv4 address, the IPv6 /64, ``""`` when unknown."""
    canonical = ip_address(text)
    return _network(canonical, 64) if canonical and ":" in canonical else canonical or ""


def ip_site(text: str | None) -> str:
    """Return the IPv6 /48 of an address, ``""`` for IPv4 and when unknown."""
    canonical = ip_address(text)
    return _network(canonical, 48) if canonical and ":" in canonical else ""


# The same clients come again and again, and each of their requests asks several times.
@lru_cache(maxsize=4096)
def _canonical(address: str) -> str | None:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(getattr(known, "ipv4_mapped", None) or known)


@lru_cache(maxsize=4096)
def _network(address: str, bits: int) -> str:
    return str(ipaddress.ip_network((address, bits), strict=False))


def storable(text: str) -> bool:
    """True if PostgreSQL can hold the text: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
