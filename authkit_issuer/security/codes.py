"""One-time codes and link tokens, and the keyed digests under which codes are stored.

All six-digit codes can be tried in a moment, so a code is never stored as a plain hash: its digest is
``<secret id>:HMAC-SHA256(sub-key, purpose | scope | code)``, deterministic and useless without the key.
"""

from __future__ import annotations

import hashlib
import hmac

from authkit_issuer.ports import RandomBytes
from authkit_issuer.security.keys import KeySet
from authkit_issuer.security.token_codec import random_text

CODE_DIGITS = 6
_CODES = 10**CODE_DIGITS
# The largest multiple of a million below 2**24. Numbers above it are drawn again: no code is more likely.
_FAIR = (2**24 // _CODES) * _CODES


def new_code(random_bytes: RandomBytes) -> str:
    """Return six decimal digits, leading zeros kept, every value equally likely."""
    while True:
        number = int.from_bytes(random_bytes(3), "big")
        if number < _FAIR:
            return f"{number % _CODES:0{CODE_DIGITS}d}"


def new_token(random_bytes: RandomBytes) -> str:
    """Return 256 random bits as 43 characters of unpadded base64url."""
    return random_text(random_bytes, 32)


def digest(keys: KeySet, purpose: str, scope: str, code: str) -> str:
    """Return the digest to store, made with the active secret."""
    return _digest(keys, keys.active_secret, purpose, scope, code)


def digests(keys: KeySet, purpose: str, scope: str, code: str) -> list[str]:
    """Return the digests that a stored one may equal: one per known secret, the active one first."""
    ids = sorted(keys.refresh_secrets, key=lambda number: number != keys.active_secret)
    return [_digest(keys, number, purpose, scope, code) for number in ids]


def _digest(keys: KeySet, secret_id: int, purpose: str, scope: str, code: str) -> str:
    text = f"{purpose}\x1f{scope}\x1f{code}".encode("utf-8", "replace")
    mac = hmac.new(keys.derive("codes", secret_id), text, hashlib.sha256).hexdigest()
    return f"{secret_id}:{mac}"
