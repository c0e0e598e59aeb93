"""The configuration of external login providers."""

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
"""Issuers of the built-in providers; any other name needs an ``issuer`` of its own."""
WITHOUT_ID_TOKENS = ("discord", "github")
"""Built-in providers of plain OAuth 2.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One external login provider."""

    client_id: str
    """The client id that the provider gave this service."""
    native_client_ids: tuple[str, ...] = ()
    """The client ids, at the same issuer, of the native apps that may present its ID tokens: all that are in
    ``aud`` or ``azp``, for Google on Android ``client_id`` too. Empty switches native sign-in off."""
    client_secret: str | Callable[[], str] | None = field(default=None, repr=False)
    """The client's secret, or a function that is called at every use, for secrets that rotate."""
    issuer: str = ""
    """The ``iss`` of its ID tokens (OpenID Connect Core section 2); built-in providers have one."""
    scopes: tuple[str, ...] = ()
    """The scopes to request; empty means the provider's usual ones."""
    team_id: str = ""
    """Apple alone, which takes a signed client secret in place of a fixed one: the team."""
    key_id: str = ""
    """Apple alone: the id of the key that signs the secret."""
    private_key_pem: str = field(default="", repr=False)
    """Apple alone: that key, in PEM."""
    auto_link: bool = False
    """Links a first login to the account with its email address, if the provider verified it, the owner
    proved it to this service (``set_email_verified`` is no proof), and the provider is trusted for it
    (``trusts_email``). An attacker who makes a trusted provider vouch takes the account."""
    trusts_email: bool | None = None
    """True takes the provider's word that an email address is its user's. False never does: a new account
    gets no address, and a code goes to it, which the user redeems as a change of address. None trusts a
    provider that owns the address's domain: Google for ``gmail.com`` and for the domain of a Workspace
    account (``hd``), Apple for its own domains and its relay; no other provider."""
    pkce: bool = True
    """Turn it off for a provider that refuses the parameters of RFC 7636 instead of ignoring them."""
    reports_auth_time: bool | None = None
    """False switches off step-up with a provider that does not say when its user authenticated. An ID token
    without ``auth_time``, which OpenID Connect requires in answer to ``max_age``, confirms no step-up. None
    is False for Google, whose ID tokens lack the claim, and True for every other provider."""
    allow_http_loopback: bool = False
    """Allows an ``http`` issuer on this machine, for development and tests."""

    def __post_init__(self) -> None:
        """Keep lists immutable."""
        object.__setattr__(self, "scopes", tuple(self.scopes))
        object.__setattr__(self, "native_client_ids", tuple(self.native_client_ids))


def check_provider(slug: str, provider: ProviderConfig) -> None:
    """Raise ``ConfigError`` for a provider whose logins cannot work."""
    if not (slug.isascii() and slug.replace("-", "").replace("_", "").isalnum() and slug == slug.lower()):
        raise ConfigError(f"providers: {slug!r} is not a provider name (a-z, 0-9, hyphen, underscore).")
    if slug == "solana":
        raise ConfigError("providers: solana is built in; set solana_domains and remove it here.")
    if not provider.client_id.strip():
        raise ConfigError(f"providers: {slug} has no client_id: set the one the provider gave you.")
    if not all(isinstance(native, str) and native.strip() for native in provider.native_client_ids):
        raise ConfigError(f"providers: {slug} has a blank entry in native_client_ids: remove it.")
    if provider.native_client_ids and slug in WITHOUT_ID_TOKENS:
        raise ConfigError(f"providers: {slug} issues no ID tokens: remove native_client_ids.")
    issuer = issuer_of(slug, provider)
    owns_domains = issuer in {ISSUERS["google"], ISSUERS["apple"]}
    if provider.auto_link and not (owns_domains if provider.trusts_email is None else provider.trusts_email):
        raise ConfigError(
            f"providers: {slug} has auto_link, and is trusted for no email address: set trusts_email=True "
            "if it owns the addresses that it vouches for, or remove auto_link."
        )
    parts = urlsplit(issuer)
    loopback = provider.allow_http_loopback and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ConfigError(
            f"providers: {slug} has the issuer {issuer!r}: set one that is an https URL;"
            " allow_http_loopback accepts http on this machine."
        )
    if slug == "apple" and not (provider.team_id and provider.key_id and provider.private_key_pem):
        raise ConfigError("providers: apple needs team_id, key_id and private_key_pem.")


def issuer_of(slug: str, provider: ProviderConfig) -> str:
    """Return the issuer of a configured provider, ``""`` if none is known."""
    return provider.issuer or ISSUERS.get(slug, "")
