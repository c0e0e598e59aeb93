"""The one exception a verification raises. It knows codes and nothing of HTTP; ``challenge`` maps them."""

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
    "missing_exp",
    "token_expired",
    "insufficient_scope",
    "user_disabled",
    "keys_unavailable",
]
"""Every code a ``TokenError`` can carry. ``keys_unavailable`` alone says nothing against the token."""


class TokenError(Exception):
    """A token was not accepted, or could not be judged.

    ``code`` is stable and one of ``TokenCode``; ``description`` is a sentence for people and never holds any
    part of the token. ``retry_after`` (seconds) is set when trying again later may help. ``scopes`` names
    what an ``insufficient_scope`` refusal asks for.
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
