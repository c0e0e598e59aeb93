"""The published keys."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.http.conditional import conditional
from authkit_issuer.http.operations import Answer, AnyOperation, Auth, Operation, Plain


@dataclass(frozen=True, slots=True, kw_only=True)
class JwkSet:
    """A JWK set (RFC 7517 section 5): the signing key first, then keys that only verify."""

    keys: list[dict[str, str]]


async def jwks(call: Plain) -> Answer:
    """Answer the key set, or 304 when the caller has it already."""
    document = call.service.tokens.jwks_document()
    return conditional(document.body, document.etag, call.header(b"if-none-match"))


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/.well-known/jwks.json",
        summary="The keys that verify access tokens",
        tag="keys",
        handler=jwks,
        returns=JwkSet,
        auth=Auth.PUBLIC,
        limit=None,
        cors=True,
    ),
)
