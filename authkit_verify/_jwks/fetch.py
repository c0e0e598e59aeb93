"""Fetch one JSON document from an issuer, within limits: no redirect, no compression, a size, a time.

``config.allowed_urls`` says which URLs may be fetched.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from authkit_verify._jwks.cache_lifetime import retry_after
from authkit_verify._jwks.fetch_error import FetchError, failure_of
from authkit_verify.config.http_client import HttpClient, StreamedResponse

MAX_BYTES = 256 * 1024
"""Bytes; a larger document is refused."""
CONNECT_TIMEOUT = 2.0
"""Seconds."""
TOTAL_TIMEOUT = 5.0
"""Seconds for all requests of one refresh, discovery included."""

_TIMEOUTS = (CONNECT_TIMEOUT, TOTAL_TIMEOUT, TOTAL_TIMEOUT, TOTAL_TIMEOUT)
_MAX_LOCATION = 160


class Answer(msgspec.Struct, frozen=True):
    """A document, or ``body=None`` if it has not changed (304). Header names are in lower case."""

    body: bytes | None
    headers: Mapping[str, str]


async def fetch(
    client: HttpClient, url: str, *, etag: str | None = None, bypass_caches: bool = False
) -> Answer:
    """Return the document at ``url``. Raises FetchError with the reason and the URL.

    ``bypass_caches`` asks every cache on the way to revalidate. The caller limits the total time.
    """
    wanted = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
    if etag is not None:
        wanted["if-none-match"] = etag
    if bypass_caches:
        wanted["cache-control"] = "no-cache"
    try:
        return await _attempt(client, url, wanted)
    except FetchError as failure:
        if failure.code != "unreachable":
            raise
    # A pooled connection may have died with its event loop or its server: a new one may work at once.
    return await _attempt(client, url, wanted)


async def _attempt(client: HttpClient, url: str, wanted: Mapping[str, str]) -> Answer:
    try:
        return await _request(client, url, wanted)
    except FetchError as failure:
        failure.at(url)
        raise
    except Exception as error:  # a host's client may raise anything
        raise failure_of(error, within=TOTAL_TIMEOUT).at(url) from error


async def _request(client: HttpClient, url: str, wanted: Mapping[str, str]) -> Answer:
    async with client.stream(
        "GET", url, headers=wanted, timeout=_TIMEOUTS, follow_redirects=False
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code == 304 and "if-none-match" in wanted:
            return Answer(None, headers)
        _check(response.status_code, headers)
        return Answer(await read_bounded(response, MAX_BYTES), headers)


def _check(status: int, headers: Mapping[str, str]) -> None:
    """Raise FetchError for a response that is not a plain document."""
    if 300 <= status < 400:
        target = ascii(headers.get("location", ""))[:_MAX_LOCATION]
        raise FetchError(
            f"the response has status {status} and redirects to {target}",
            code="redirect",
            advice="The verifier follows no redirect: configure the final URL.",
            status=status,
        )
    if status != 200:
        wait = retry_after(headers) if status in {429, 503} else None
        reason = f"the response has status {status}"
        raise FetchError(reason, code="bad_status", status=status, retry_after=wait)
    if headers.get("content-encoding", "identity").lower() != "identity":
        # Identity was requested; decompression would make the size limit meaningless.
        raise FetchError(
            "the response is compressed",
            code="compressed",
            advice="Serve it without compression when the request accepts identity encoding only.",
            status=status,
        )


async def read_bounded(response: StreamedResponse, limit: int) -> bytes:
    """Return the body of a response. Raises FetchError if it has more than ``limit`` bytes."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > limit:
            raise FetchError(
                f"the response is larger than {limit} bytes",
                code="too_large",
                advice=f"At most {limit} bytes are read.",
                status=response.status_code,
            )
    return bytes(body)
