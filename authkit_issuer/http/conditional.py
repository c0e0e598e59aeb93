"""Public documents that caches may keep: their validator, and the response to a client that has them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from authkit_issuer.http.raw_response import JSON, RawResponse

# Verifiers, ours among them, keep a key set through an outage: without "must-revalidate" they may.
_CACHE = (b"cache-control", b"public, max-age=300")
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def cached(document: Mapping[str, object], condition: str) -> RawResponse:
    """Answer a document that is made per request and seldom changes."""
    body = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    return conditional(body, f'"{hashlib.sha256(body).hexdigest()}"', condition)


def conditional(
    body: bytes, etag: str, condition: str, *, content_type: tuple[bytes, bytes] = JSON
) -> RawResponse:
    """Answer the body, or 304 when ``condition``, an ``If-None-Match``, says that the client has it."""
    headers = (_CACHE, (b"etag", etag.encode()))
    if _matches(condition, etag):
        return RawResponse(status=304, headers=headers, body=b"")
    return RawResponse(status=200, headers=(content_type, *headers), body=body)


def _matches(condition: str, etag: str) -> bool:
    """True if ``If-None-Match`` names the validator, compared weakly (RFC 9110 section 13.1.2)."""
    return condition.strip() == "*" or etag in _ENTITY_TAG.findall(condition)
