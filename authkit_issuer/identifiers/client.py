"""What a client shows of itself: address, network and user agent; and which texts PostgreSQL stores."""

from __future__ import annotations

import ipaddress

MAX_USER_AGENT = 512
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
    cleaned = "".join(char if char.isprintable() else " " for char in text).strip()
    return cleaned[:MAX_USER_AGENT] or None


def browser_family(user_agent: str | None) -> str:
    """Return the family of the browser that a user agent names, such as ``Firefox``; ``""`` if it is none."""
    for mark, family in _BROWSERS:
        if user_agent and mark in user_agent:
            return family
    return ""


def ip_address(text: str | None) -> str | None:
    """Return the address in canonical form with an IPv4-mapped one unwrapped, or None when it is not one."""
    if not text:
        return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def ip_prefix(text: str | None) -> str:
    """Return what limits and comparisons go by: the IPv4 address, the IPv6 /64, ``""`` when unknown."""
    canonical = ip_address(text)
    if canonical is None:
        return ""
    address = ipaddress.ip_address(canonical)
    if isinstance(address, ipaddress.IPv4Address):
        return canonical
    return str(ipaddress.ip_network((address, 64), strict=False))


def ip_site(text: str | None) -> str:
    """Return the IPv6 /48 of an address, ``""`` for IPv4 and when unknown."""
    canonical = ip_address(text)
    if canonical is None or ":" not in canonical:
        return ""
    return str(ipaddress.ip_network((canonical, 48), strict=False))


def storable(text: str) -> bool:
    """True if PostgreSQL can hold the text: no NUL, no lone surrogate."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
