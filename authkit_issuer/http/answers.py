"""Answers that several operations give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from authkit_issuer.capabilities.sessions import TokenPair


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """It is done."""

    ok: Literal[True] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A login: the access token for ``expires_in`` seconds and the refresh token for one more exchange."""

    access_token: str = field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str = field(repr=False)

    @classmethod
    def of(cls, pair: TokenPair) -> Tokens:
        """Return what the client is told of a token pair."""
        return cls(
            access_token=pair.access_token, expires_in=pair.expires_in, refresh_token=pair.refresh_token
        )
