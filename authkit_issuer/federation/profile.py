"""What every provider offers, and what it says of a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from authkit_issuer.config.providers import ISSUERS, ProviderConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Who signed in. ``issuer`` and ``subject`` name the login; everything else is a hint.

    ``email_verified`` is True only when the provider says so in so many words. ``email_trusted`` is true if
    that word counts: the provider owns the domain, or the configuration trusts it.
    """

    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    email_trusted: bool = False
    username: str = ""
    display_name: str = ""
    authenticated_at: float | None = None
    """When the provider authenticated the person (Unix seconds); None if it does not say."""


_GOOGLE, _APPLE = ISSUERS["google"], ISSUERS["apple"]
_OWN_DOMAINS: Mapping[str, frozenset[str]] = {
    _GOOGLE: frozenset({"gmail.com", "googlemail.com"}),
    _APPLE: frozenset({"icloud.com", "me.com", "mac.com", "privaterelay.appleid.com"}),
}
"""The domains that an issuer owns: no other party hands out addresses there."""


def trusts_email(config: ProviderConfig, issuer: str, email: str | None, hosted: object = None) -> bool:
    """True if the provider's word on an email address counts as a proof.

    A provider can verify an address once and not notice when it changes hands, or let its users write any
    address. ``hosted`` is Google's ``hd``: the Workspace domain that the account is managed by.
    """
    if config.trusts_email is not None:
        return config.trusts_email
    domain = (email or "").rpartition("@")[2].lower()
    managed = issuer == _GOOGLE and isinstance(hosted, str) and hosted.lower() == domain
    return bool(domain) and (managed or domain in _OWN_DOMAINS.get(issuer, ()))


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
