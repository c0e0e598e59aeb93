"""The URI of a request, in the form in which it is compared with the ``htu`` of a DPoP proof.

Without query and fragment, and normalized by syntax and scheme (RFC 9449, 4.3; RFC 3986, 6.2.2 and 6.2.3).
``dpop_proof`` compares the host with ``DPoP.public_origins``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_URI = 8192
"""Characters. A longer URI equals no other."""

# Not urlsplit: it drops tabs and line breaks, so that two different texts would be one URL.
# Compiled at their first use, like those of certificates: most applications meet no proof.
_URI = r"(?i:(https?|wss?))://([^/?#@\\]+)((?:/[^?#]*)?)(?:\?[^#]*)?(?:#.*)?"
_AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{0,5}))?"
_ENCODED = r"%([0-9A-Fa-f]{2})?"
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SCHEMES = {"ws": "http", "wss": "https"}  # a handshake is an HTTP request (RFC 6455, 4.1)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class TargetUri(NamedTuple):
    """A normalized URI in two parts."""

    origin: str
    """Scheme, host, and the port unless it is the default one."""
    path: str


def target_uri(text: str) -> TargetUri | None:
    """Return the normalized URI; None for a text that is not an absolute http or websocket URL."""
    if len(text) > MAX_URI or not text.isascii() or not text.isprintable() or " " in text:
        return None
    match = re.fullmatch(_URI, text)
    if match is None:
        return None
    scheme = match[1].lower()
    scheme = _SCHEMES.get(scheme, scheme)
    authority = re.fullmatch(_AUTHORITY, match[2])
    path = _normalized_path(match[3])
    if authority is None or path is None:
        return None
    port = int(authority[2]) if authority[2] else _DEFAULT_PORTS[scheme]
    shown = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return TargetUri(f"{scheme}://{authority[1].lower()}{shown}", path)


def _normalized_path(path: str) -> str | None:
    try:
        path = re.sub(_ENCODED, _normalized_octet, path)
    except ValueError:
        return None
    kept: list[str] = []
    segments = path.split("/")[1:] or [""]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _normalized_octet(match: re.Match[str]) -> str:
    if match[1] is None:
        raise ValueError("a percent sign without two hexadecimal digits")
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else f"%{match[1].upper()}"
