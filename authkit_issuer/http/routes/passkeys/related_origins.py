"""The origins of other domains that use this service's passkeys."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.http.conditional import cached
from authkit_issuer.http.operations import Auth, Plain
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedOrigins:
    """The origins, as browsers read them (Web Authentication Level 3, section 5.11)."""

    origins: list[str]


routes = Routes(tag="discovery", auth=Auth.PUBLIC, limit=None)


@routes.get(
    "/.well-known/webauthn",
    "The origins of other domains that use the same passkeys",
    offered=lambda service: bool(service.config.webauthn_related_origins),
    returns=RelatedOrigins,
    cors=True,
    document=True,
)
async def get_related_origins(call: Plain) -> RawResponse:
    """Return the origins of other domains."""
    found = RelatedOrigins(origins=[*call.service.config.webauthn_related_origins])
    return cached(found, call.header(b"if-none-match"))
