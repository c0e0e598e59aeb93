"""Find an issuer's key set: through its metadata (OpenID Connect Discovery 1.0, section 4; RFC 8414).

An issuer without metadata may have its key set at the well-known path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from authkit_verify._jwks.fetch import Answer, fetch
from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify.config import IssuerAccept
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.tenants import unnamed
from authkit_verify.errors import shown


class NoMetadata(FetchError):
    """The issuer answers, and has no metadata that names its key set."""


class Location(msgspec.Struct, frozen=True):
    """The URL of a key set; ``doubt`` is why it may be the wrong one, for the message if it fails."""

    url: str
    doubt: str | None = None


async def locate(client: HttpClient, accept: IssuerAccept) -> Location:
    """Return the place of an issuer's key set, by its settings ``jwks_url`` and ``discovery``.

    Raises FetchError if its metadata cannot be used. Only an issuer without any has its keys elsewhere.
    """
    if accept.keys_url is not None:
        return Location(accept.keys_url)
    try:
        url = await discover(
            client, accept.issuer, allows=accept.allows_url, same_origin=accept.same_origin,
            shared=accept.metadata_url,
        )  # fmt: skip
    except NoMetadata as reason:
        if accept.discovery or accept.tenants is not None:
            raise
        return Location(accept.well_known_url, f"{reason}; set jwks_url")
    return Location(url)


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Return the possible metadata URLs: OpenID Connect appends to the path, RFC 8414 inserts before it."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    inserted = f"/.well-known/oauth-authorization-server{path}"
    return (
        issuer.rstrip("/") + "/.well-known/openid-configuration",
        urlunsplit((parts.scheme, parts.netloc, inserted, "", "")),
    )


async def discover(
    client: HttpClient,
    issuer: str,
    *,
    allows: Callable[[str], bool],
    same_origin: bool = False,
    shared: str | None = None,
    member: str = "jwks_uri",
) -> str:
    """Return a URL of the issuer's metadata. Raises FetchError if no metadata of this issuer names it.

    ``NoMetadata`` if there is none: a document that fails (5xx), or is of another issuer, is a failure.
    The document's ``issuer`` must equal the configured one byte for byte (RFC 8414, 3.3), but for names of
    placeholders, so that one tenant cannot answer for another. ``allows`` is ``IssuerAccept.allows_url``.
    ``same_origin`` refuses a URL with any other scheme, host or port. ``shared`` is the URL of metadata for
    all tenants of a template.
    """
    reasons: list[str] = []
    absent = True
    retry_after: float | None = None
    for place in (shared,) if shared is not None else metadata_urls(issuer):
        answer: Answer | None = None
        try:
            answer = await fetch(client, place)
            url = url_in(answer, issuer, member)
        except FetchError as failure:  # a site may answer every path with its front page: try both
            if answer is None and (failure.status is None or failure.retry_after is not None):
                raise  # no response, or a pause was asked for: the other document is on the same host
            reasons.append(str(failure if answer is None else failure.at(place)))
            retry_after = failure.retry_after or retry_after
            absent = absent and (isinstance(failure, NoMetadata) or _is_absence(failure.status))
            continue
        if not allows(url):
            raise FetchError(
                f"the {member} of the metadata, {shown(url)}, is not an https URL; allow_http_hosts lists "
                "hosts that may be asked over http"
            )
        if same_origin and origin(url) != origin(place):
            raise FetchError(
                f"the {member} of the metadata, {shown(url)}, is on another origin, and same_origin=True"
            )
        return url
    if absent:
        raise NoMetadata(f"no metadata: {'; '.join(reasons)}", retry_after=retry_after)
    raise FetchError(f"no usable metadata: {'; '.join(reasons)}", retry_after=retry_after)


def _is_absence(status: int | None) -> bool:
    # Some servers forbid what they do not have, or send its reader to a page for people.
    return status is not None and 300 <= status < 500 and status not in {408, 429}


def url_in(answer: Answer, issuer: str, member: str) -> str:
    """Return a URL that one document names, unchecked. Raises FetchError if it is another issuer's."""
    try:
        metadata: Any = json.loads((answer.body or b"").decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise NoMetadata("the metadata is not JSON") from None
    if not isinstance(metadata, dict) or "issuer" not in metadata:
        raise NoMetadata("the metadata names no issuer")
    named = metadata["issuer"]
    if not isinstance(named, str) or unnamed(named) != unnamed(issuer):
        raise FetchError(
            f"the metadata is of another issuer, {shown(named)} (configure the issuer as its "
            "tokens spell it, or set jwks_url)"
        )
    url = metadata.get(member)
    if not isinstance(url, str):
        raise NoMetadata(f"the metadata has no {member}")
    return url


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
