"""What the operations of external logins share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from authkit_issuer.http.operations import Limit

if TYPE_CHECKING:
    from authkit_issuer.http.operations import Call
    from authkit_issuer.service import Service

DISCORD = "discord"

Nonce = Annotated[
    str | None, Field(description="Comes back with the popup's message; 128 URL-safe characters")
]
ReturnTo = Annotated[str | None, Field(description="A path of the app, which comes back with the result")]

# Not closed: while counting fails the state cannot be kept either, and only the handler knows the way back
# to the app.
STARTING = Limit(bucket="auth_oidc_start")


def provider_of(call: Call[Any, Any]) -> str:
    """Return the provider that a path names; the paths of one provider name it themselves."""
    return call.path.get("provider", DISCORD)


def with_providers(service: Service) -> bool:
    """True if external logins are configured."""
    return bool(service.config.providers)


def with_native_apps(service: Service) -> bool:
    """True if native apps may present ID tokens of a provider."""
    return any(provider.native_client_ids for provider in service.config.providers.values())


def with_discord(service: Service) -> bool:
    """True if Discord is configured."""
    return DISCORD in service.config.providers
