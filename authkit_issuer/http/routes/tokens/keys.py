"""The published keys."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.http.conditional import conditional
from authkit_issuer.http.operations import Auth, Plain
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.route_groups import Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class JwkSet:
    """A JWK set (RFC 7517 section 5): the signing key first, then keys that only verify."""

    keys: list[dict[str, str]]


routes = Routes(tag="keys", auth=Auth.PUBLIC, limit=None)


@routes.get(
    "/.well-known/jwks.json", "The keys that verify access tokens", returns=JwkSet, cors=True, document=True
)
async def get_jwks(call: Plain) -> RawResponse:
    """Return the key set, or 304 if the client has it."""
    document = call.service.tokens.jwks_document()
    return conditional(document.body, document.etag, call.header(b"if-none-match"))
