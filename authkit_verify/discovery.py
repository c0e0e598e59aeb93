"""Find an issuer's key set through its metadata (OpenID Connect Discovery 1.0, section 4; RFC 8414)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from authkit_verify.config import is_allowed_url
from authkit_verify.fetch import FetchError, HttpClient, fetch


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Return where the metadata may be: OpenID Connect appends to the path, RFC 8414 inserts before it."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    inserted = f"/.well-known/oauth-authorization-server{path}"
    return (
        issuer.rstrip("/") + "/.well-known/openid-configuration",
        urlunsplit((parts.scheme, parts.netloc, inserted, "", "")),
    )


async def discover(client: HttpClient, issuer: str, *, http_loopback: bool) -> str:
    """Return the issuer's ``jwks_uri``. Raises FetchError when no document names it truthfully.

    The document's ``issuer`` must equal ours byte for byte (RFC 8414, 3.3): that is what stops one tenant
    from answering for another.
    """
    openid, oauth = metadata_urls(issuer)
    try:
        answer = await fetch(client, openid)
    except FetchError:
        answer = await fetch(client, oauth)
    try:
        metadata: Any = json.loads((answer.body or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        raise FetchError("the metadata is not JSON") from None
    if not isinstance(metadata, dict) or metadata.get("issuer") != issuer:
        raise FetchError("the metadata names another issuer")
    url = metadata.get("jwks_uri")
    if not isinstance(url, str) or not is_allowed_url(url, http_loopback=http_loopback):
        raise FetchError("the metadata names no https jwks_uri")
    return url
