"""The exception that a verification raises: a code and a description, without any HTTP."""

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
    "bad_audience",
    "bad_claim",
    "missing_exp",
    "token_expired",
    "insufficient_scope",
    "user_disabled",
    "keys_unavailable",
]
"""Every code of a ``TokenError``. ``keys_unavailable`` alone is not about the token: it was not checked."""


class TokenError(Exception):
    """The token is refused, or the keys to check it are unavailable.

    Attributes:
        code: One of ``TokenCode``; codes do not change.
        description: A sentence for people. It never holds any part of the token.
        retry_after: Seconds after which a retry may succeed; None if a retry does not help.
        scopes: The scopes that an ``insufficient_scope`` refusal requires; empty otherwise.
    """

    def __init__(
        self,
        code: TokenCode,
        description: str,
        *,
        retry_after: float | None = None,
        scopes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(code, description)
        self.code: TokenCode = code
        self.description = description
        self.retry_after = retry_after
        self.scopes = scopes

    def __str__(self) -> str:
        return f"{self.code}: {self.description}"
