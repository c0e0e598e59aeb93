"""The URLs from which an issuer's documents may be fetched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

MAX_ISSUER = 500
"""Characters of the longest issuer that a loader is asked about."""
_ISSUER = r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"


def is_allowed_url(url: str, *, http_loopback: bool, http_hosts: Sequence[str] = ()) -> bool:
    """True if keys may be fetched from this URL: https, or http on loopback or from a host if allowed."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port  # reading an invalid port raises ValueError
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable():
        return False
    if parts.scheme != "http":
        return parts.scheme == "https"
    return host in http_hosts or (http_loopback and is_loopback(host))


def is_issuer_url(text: str) -> bool:
    """True for a URL that an issuer can have: http or https, without query and fragment (RFC 8414, 2).

    Not for one with ``..`` in its path: its keys would be those of another path.
    """
    if len(text) > MAX_ISSUER or not re.fullmatch(_ISSUER, text):
        return False
    if not {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(text))):
        return False
    try:
        return urlsplit(text).port != 0  # reading an invalid port raises ValueError
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """True for ``localhost`` and for a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
