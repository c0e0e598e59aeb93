"""The proofs of a sign-in: what every way to sign in hands to the rest of the login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from authkit_issuer.runtime import Runtime

UseUp = Callable[[Runtime], Awaitable[None]]
"""Uses up what the user proved, in the transaction that relies on it; raises if it is used already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstFactor:
    """A first factor verified at this epoch of the account; any later change of the account voids it."""

    user_id: str
    auth_epoch: int
    two_factor: bool = False
    """True if the account has a second factor: nothing may be opened before that one is verified too."""
    is_multi_factor: bool = False
    """True if it is two factors by itself, such as a passkey whose authenticator verified the user."""
    contact: str = ""
    """The address or number whose code or link it was: the same contact is no second factor."""
    method: str = ""
    """How the user signs in, such as ``password_login``; empty until the sign-in is finished."""
    amr: tuple[str, ...] = ()
    """Authentication methods (RFC 8176 section 2)."""
    authenticated_at: float | None = None
    """When a provider authenticated the user (Unix seconds); None is now."""
