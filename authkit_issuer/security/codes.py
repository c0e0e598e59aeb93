"""One-time codes, short and long, link tokens, and the keyed digests under which codes are stored.

All six-digit codes can be tried in a moment, so a code is never stored as a plain hash: its digest is
``<secret id>:HMAC-SHA256(sub-key, purpose | scope | code)``, deterministic and useless without the key.
``domains.codes.one_time`` issues and redeems them, and bounds their life and tries.
"""

from __future__ import annotations

import hashlib
import hmac

from authkit_issuer.keys import KeySet
from authkit_issuer.ports import RandomBytes
from authkit_issuer.security.token_codec import random_text

CODE_DIGITS = 6
_CODES = 10**CODE_DIGITS
# The largest multiple of a million below 2**24. Numbers above it are drawn again: no code is more likely.
_FAIR = (2**24 // _CODES) * _CODES


_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LONG = 13
_DASHES = dict.fromkeys(map(ord, "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212"))
"""What people and their programs put between groups: hyphens, dashes and the minus sign."""


def new_code(random_bytes: RandomBytes) -> str:
    """Return six decimal digits, leading zeros kept, every value equally likely."""
    while True:
        number = int.from_bytes(random_bytes(3), "big")
        if number < _FAIR:
            return f"{number % _CODES:0{CODE_DIGITS}d}"


def new_long_code(random_bytes: RandomBytes) -> str:
    """Return 65 random bits as thirteen letters and digits in three groups: too many to be guessed."""
    # 32 divides 256: every symbol is equally likely.
    text = "".join(_LETTERS[byte % len(_LETTERS)] for byte in random_bytes(_LONG))
    return f"{text[:4]}-{text[4:8]}-{text[8:]}"


def typed(code: str) -> str:
    """Return the form of a code that is compared: upper case, without blanks and dashes."""
    return "".join(code.split()).translate(_DASHES).upper()


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
