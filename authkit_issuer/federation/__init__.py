"""External identity providers: where people are sent, and what comes back about them."""

from __future__ import annotations

from collections.abc import Mapping

from authkit_issuer.config import ProviderConfig
from authkit_issuer.federation.apple import Apple
from authkit_issuer.federation.discord import Discord
from authkit_issuer.federation.github import GitHub
from authkit_issuer.federation.http import ProviderHttp
from authkit_issuer.federation.openid import OpenID
from authkit_issuer.federation.profile import Exchange, IdentityProvider, Profile, Request
from authkit_issuer.ports import Clock

__all__ = ["Exchange", "IdentityProvider", "Profile", "ProviderHttp", "Request", "identity_providers"]


def identity_providers(
    configured: Mapping[str, ProviderConfig], *, http: ProviderHttp, clock: Clock
) -> dict[str, IdentityProvider]:
    """Return the providers of a configuration by name; raises ``ConfigError`` for an unusable key."""
    return {slug: _provider(slug, config, http, clock) for slug, config in configured.items()}


def _provider(slug: str, config: ProviderConfig, http: ProviderHttp, clock: Clock) -> IdentityProvider:
    """Return one provider; a name that is not known means OpenID Connect."""
    if slug == "apple":
        return Apple(slug, config, http=http, clock=clock)
    if slug == "discord":
        return Discord(slug, config, http=http)
    if slug == "github":
        return GitHub(slug, config, http=http)
    return OpenID(slug, config, http=http, clock=clock)
