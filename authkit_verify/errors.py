"""The exception that a verification raises: a code and a description, without any HTTP.

``_asgi.challenge`` has the status of each code.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["TokenCode", "TokenError"]

TokenCode = Literal[
    "missing_token",
    "invalid_request",
    "invalid_token",
    "disallowed_alg",
    "unknown_kid",
    "missing_kid",
    "bad_issuer",
    "bad_tenant",
    "bad_audience",
    "bad_claim",
    "missing_exp",
    "token_expired",
    "token_inactive",
    "insufficient_scope",
    "user_disabled",
    "invalid_dpop_proof",
    "use_dpop_nonce",
    "keys_unavailable",
    "issuer_check_unavailable",
    "replay_check_unavailable",
    "introspection_unavailable",
]
"""Every code of a ``TokenError``. Those that end in ``_unavailable`` are not about the token: a check could
not be made.

- ``missing_token``: no credential was sent.
- ``invalid_request``: two headers, two credentials, or ``Bearer`` and no token.
- ``invalid_token``: malformed, a bad signature, a wrong type, or issued in the future.
- ``disallowed_alg``: the algorithm is not accepted.
- ``unknown_kid``: the issuer has no key with this id.
- ``missing_kid``: the token names no key, and not exactly one fits.
- ``bad_issuer``: the issuer is not accepted.
- ``bad_tenant``: the tenant of the token is not accepted, or does not agree with its issuer or key.
- ``bad_audience``: the token is for another audience.
- ``bad_claim``: a claim of ``required_claims`` is absent, or has another value.
- ``missing_exp``: the token has no expiry.
- ``token_expired``: the token has expired.
- ``token_inactive``: the introspection endpoint says that the token is not active.
- ``insufficient_scope``: the token is valid and lacks a scope.
- ``user_disabled``: the user is disabled.
- ``invalid_dpop_proof``: the DPoP proof is missing, invalid, of another request, or used before.
- ``use_dpop_nonce``: the DPoP proof needs the nonce of the ``DPoP-Nonce`` header.
- ``keys_unavailable``: the issuer's keys are unavailable; the token was not checked.
- ``issuer_check_unavailable``: the function that loads issuers or decides on tenants is unavailable.
- ``replay_check_unavailable``: the replay cache is unavailable; the DPoP proof was not checked.
- ``introspection_unavailable``: the introspection endpoint is unavailable; the token was not checked.
"""


_SHOWN = 60  # characters of one value
_ITEMS = 3


def shown(value: object) -> str:
    """Return a foreign value for a sentence: escaped, and cut to a length that fits into a line."""
    if type(value) is str:
        return ascii(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!a} and {len(value) - _SHOWN} more"
    if type(value) is list or type(value) is tuple:
        items = [shown(item) if type(item) is str else "..." for item in value[:_ITEMS]]
        return f"[{', '.join(items)}{', ...' if len(value) > _ITEMS else ''}]"
    return "nothing" if value is None else f"a {type(value).__name__}"


class TokenError(Exception):
    """The token is refused, or the keys to check it are unavailable.

    Attributes:
        code: One of ``TokenCode``; codes do not change.
        reason: A phrase for people, the same for every token.
        detail: The value that was refused, escaped and cut, and the setting that decides; may be empty.
        description: Both, as a client receives them. It holds no part of the encoded token.
        retry_after: Seconds after which a retry may succeed; None if a retry does not help.
        scopes: The scopes that an ``insufficient_scope`` refusal requires; empty otherwise.
        dpop_nonce: The nonce that the next DPoP proof needs (``use_dpop_nonce``); None otherwise.
    """

    def __init__(
        self,
        code: TokenCode,
        reason: str,
        *,
        detail: str = "",
        retry_after: float | None = None,
        scopes: tuple[str, ...] = (),
        dpop_nonce: str | None = None,
    ) -> None:
        super().__init__(code, reason)
        self.code: TokenCode = code
        self.reason = reason
        self.detail = detail
        self.description = f"{reason}: {detail}" if detail else reason
        self.retry_after = retry_after
        self.scopes = scopes
        self.dpop_nonce = dpop_nonce

    def __str__(self) -> str:
        return f"{self.code}: {self.description}"
