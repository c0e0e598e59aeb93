"""Codes of authenticator apps: TOTP with SHA-1, six digits and steps of 30 seconds (RFC 6238)."""

from __future__ import annotations

import base64
import hmac
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from authkit_issuer.security.codes import CODE_DIGITS, typed

PERIOD = 30
SECRET_BYTES = 20
_NEAR = 4
"""Steps to each side of a process's clock that are compared; the database's clock decides among them."""


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a step."""
    return TOTP(secret, CODE_DIGITS, SHA1(), PERIOD).generate(step * PERIOD).decode()  # noqa: S303 - RFC 6238


def matching_steps(secret: bytes, code: str, now: float) -> list[int]:
    """Return the steps near ``now`` whose code is this one."""
    given, present = typed(code).encode("utf-8", "replace"), int(now // PERIOD)
    steps = range(max(0, present - _NEAR), present + _NEAR + 1)
    found = [hmac.compare_digest(code_at(secret, step).encode(), given) for step in steps]
    return [step for step, fits in zip(steps, found, strict=True) if fits]


def base32(secret: bytes) -> str:
    """Return the secret as people type it into an app."""
    return base64.b32encode(secret).rstrip(b"=").decode()


def otpauth_uri(secret: bytes, *, issuer: str, account: str) -> str:
    """Return the URI that an app reads from a QR code.

    Issuer and account are percent-encoded, blanks too: some apps show a plus sign as it is. The colon between
    them is the only one that separates (Key Uri Format).
    """
    issuer, account = issuer.replace(":", " "), account.replace(":", " ")
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    query = urlencode(
        {
            "secret": base32(secret),
            "issuer": issuer,
            "algorithm": "SHA1",
            "digits": CODE_DIGITS,
            "period": PERIOD,
        },
        quote_via=quote,
    )
    return f"otpauth://totp/{label}?{query}"
