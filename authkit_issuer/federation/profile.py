"""What every provider offers, and what it says of a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who signed in. ``issuer`` and ``subject`` name the login; everything else is a hint.

    ``email_verified`` is True only when the provider says so in so many words.
    """

    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    username: str = ""
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What sends a person to a provider. ``fresh`` asks that they prove themselves there again."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    redirect_uri: str
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a callback is turned into a profile with."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    redirect_uri: str
    proved_since: float | None = None
    """Unix time: a proof that the provider says is older does not count."""
    user: str = field(default="", repr=False)
    """The user object of Apple's form, sent once and unsigned."""


class IdentityProvider(Protocol):
    """One external provider."""

    @property
    def issuer(self) -> str:
        """The issuer under which its logins are stored."""
        ...

    @property
    def form_post(self) -> bool:
        """True if it answers with a POST from its own page, which carries no SameSite=Lax cookie."""
        ...

    @property
    def steps_up(self) -> bool:
        """True if a login with it can reauthenticate the user of a session."""
        ...

    @property
    def takes_id_tokens(self) -> bool:
        """True if native apps may present its ID tokens."""
        ...

    async def authorization_url(self, request: Request) -> str:
        """Return where the browser goes; raises ``ProviderUnavailable``."""
        ...

    async def promises_issuer(self) -> bool:
        """True if each of its answers must carry ``iss`` (RFC 9207 section 3)."""
        ...

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code; raises ``ProviderRefused`` for a bad one, ``ProviderUnavailable``."""
        ...

    async def verify_id_token(self, id_token: str, nonce: str) -> Profile:
        """Verify an ID token that a native app got; raises ``ProviderRefused``, ``ProviderUnavailable``."""
        ...

    async def aclose(self) -> None:
        """Stop what runs in the background."""
        ...
