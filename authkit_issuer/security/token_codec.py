"""The text form of random values and opaque tokens: one text per value."""

from __future__ import annotations

import binascii

from authkit_issuer.keys import base64url
from authkit_issuer.ports import RandomBytes

_STANDARD = bytes.maketrans(b"-_", b"+/")


def random_text(random_bytes: RandomBytes, size: int) -> str:
    """Return ``size`` random bytes as base64url without padding."""
    return base64url(random_bytes(size))


def encode_token(prefix: str, raw: bytes) -> str:
    """Return the text of a token."""
    return prefix + base64url(raw)


def decode_token(prefix: str, size: int, token: str) -> bytes | None:
    """Return the ``size`` bytes of a token, or None for any text but its canonical one."""
    length = len(prefix) + (size * 8 + 5) // 6
    if len(token) != length or not token.startswith(prefix) or not token.isascii():
        return None
    text = token[len(prefix) :]
    try:
        raw = binascii.a2b_base64(text.encode().translate(_STANDARD) + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
    # Only what is written as this service writes it: the decoder skips foreign characters, and the last one
    # may carry bits that belong to no byte.
    return raw if encode_token(prefix, raw) == token else None
