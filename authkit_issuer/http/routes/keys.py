"""The published keys."""

from __future__ import annotations

import re
from dataclasses import dataclass

from authkit_issuer.http.routing import Answer, AnyOperation, Auth, Operation, Plain

_CACHE = (b"cache-control", b"public, max-age=300, must-revalidate")
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True, kw_only=True)
class JwkSet:
    """A JWK set (RFC 7517 section 5): the signing key first, then keys that only verify."""

    keys: list[dict[str, str]]


async def jwks(call: Plain) -> Answer:
    """Answer the key set, or 304 when the caller has it already."""
    document = call.service.tokens.jwks_document()
    headers = (_CACHE, (b"etag", document.etag.encode()))
    if _matches(call.header(b"if-none-match"), document.etag):
        return Answer(status=304, headers=headers, body=b"")
    return Answer(status=200, headers=((b"content-type", b"application/json"), *headers), body=document.body)


def _matches(condition: str, etag: str) -> bool:
    """Tell whether ``If-None-Match`` names the validator, compared weakly (RFC 9110 section 13.1.2)."""
    return condition.strip() == "*" or etag in _ENTITY_TAG.findall(condition)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="GET",
        path="/.well-known/jwks.json",
        summary="The keys that verify access tokens",
        tag="keys",
        handler=jwks,
        returns=JwkSet,
        auth=Auth.PUBLIC,
        cors=True,
    ),
)
