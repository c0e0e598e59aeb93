"""Public documents that caches may keep: their validator, and the response to a client that has them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from authkit_issuer.http.raw_response import JSON, RawResponse

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Verifiers, ours among them, keep a key set through an outage: without "must-revalidate" they may.
_CACHE = (b"cache-control", b"public, max-age=300")
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class _Written:
    document: DataclassInstance
    body: bytes
    etag: str


# Comparing with the document that was written last takes a quarter of writing it again. Services of one
# process take turns here; each gets its own document all the same.
_newest: dict[type, _Written] = {}


def cached(document: DataclassInstance, condition: str) -> RawResponse:
    """Answer a document that seldom changes. Members that are None are left out."""
    written = _newest.get(type(document))
    if written is None or written.document != document:
        members = {name: value for name, value in asdict(document).items() if value is not None}
        body = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
        written = _Written(document, body, etag_of(body))
        _newest[type(document)] = written
    return conditional(written.body, written.etag, condition)


def etag_of(body: bytes) -> str:
    """Return the validator of a document (RFC 9110 section 8.8.3)."""
    return f'"{hashlib.sha256(body).hexdigest()}"'


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
