"""External login providers, as a deployment configures them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from authkit_issuer.errors import ConfigError

ISSUERS: Mapping[str, str] = {
    "google": "https://accounts.google.com",
    "apple": "https://appleid.apple.com",
    "discord": "https://discord.com",
    "github": "https://github.com/login/oauth",
}
"""The issuers of the providers known by name; any other name needs an ``issuer`` of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One provider. ``client_secret`` may be a function, called at every use, for secrets that rotate.

    ``issuer`` is what its ID tokens carry (OpenID Connect Core section 2); for the providers known by name it
    is filled in. Empty ``scopes`` mean the provider's usual ones. ``team_id``, ``key_id`` and
    ``private_key_pem`` are Apple's, which takes a signed secret instead of a fixed one.
    """

    client_id: str
    client_secret: str | Callable[[], str] | None = field(default=None, repr=False)
    issuer: str = ""
    scopes: tuple[str, ...] = ()
    team_id: str = ""
    key_id: str = ""
    private_key_pem: str = field(default="", repr=False)
    auto_link: bool = False
    """Links a first login to the account that has its address, where this provider and this service have both
    verified it. For providers that own the addresses they vouch for: whoever can make one say so gets in."""
    pkce: bool = True
    """Off for a provider that refuses the parameters of RFC 7636 instead of ignoring them."""
    allow_http_loopback: bool = False
    """For an issuer on this machine, in development and tests."""

    def __post_init__(self) -> None:
        """Keep lists immutable."""
        object.__setattr__(self, "scopes", tuple(self.scopes))


def check_provider(slug: str, provider: ProviderConfig) -> None:
    """Raise ``ConfigError`` for a provider that could never log anybody in."""
    if not (slug.isascii() and slug.replace("-", "").replace("_", "").isalnum() and slug == slug.lower()):
        raise ConfigError(f"providers: {slug!r} is not a provider name (a-z, 0-9, hyphen, underscore).")
    if slug == "solana":
        raise ConfigError("providers: solana is built in.")
    if not provider.client_id.strip():
        raise ConfigError(f"providers: {slug} has no client_id.")
    issuer = issuer_of(slug, provider)
    parts = urlsplit(issuer)
    loopback = provider.allow_http_loopback and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ConfigError(f"providers: {slug} needs an issuer with https.")
    if slug == "apple" and not (provider.team_id and provider.key_id and provider.private_key_pem):
        raise ConfigError("providers: apple needs team_id, key_id and private_key_pem.")


def issuer_of(slug: str, provider: ProviderConfig) -> str:
    """Return the issuer of a configured provider, ``""`` when nothing says."""
    return provider.issuer or ISSUERS.get(slug, "")
