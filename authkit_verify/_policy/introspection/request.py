"""One request to an introspection endpoint (RFC 7662, 2): authenticated, bounded, and never redirected.

The reason of a failure holds nothing of the token or of the credentials, even if the response repeats them.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

from authkit_verify._jose.compact import read_object
from authkit_verify._jwks.cache_lifetime import retry_after
from authkit_verify._jwks.fetch import CONNECT_TIMEOUT, read_bounded
from authkit_verify._jwks.fetch_error import FetchError, failure_of
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.introspection import Introspection
from authkit_verify.errors import TokenError

MAX_BYTES = 64 * 1024
"""Bytes; a larger answer is refused."""

_SIGNED = "application/token-introspection+jwt"
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,40}")


async def ask(client: HttpClient, url: str, token: str, settings: Introspection) -> dict[str, Any]:
    """Return the JSON object with which the endpoint answers. Raises FetchError with the reason and the URL.

    The caller limits the total time.
    """
    try:
        return await _attempt(client, url, token, settings)
    except FetchError as failure:
        if failure.code != "unreachable":
            raise
    # A pooled connection may have died with its event loop or its server: a new one may work at once.
    return await _attempt(client, url, token, settings)


async def _attempt(client: HttpClient, url: str, token: str, settings: Introspection) -> dict[str, Any]:
    try:
        return await _request(client, url, token, settings)
    except FetchError as failure:
        failure.at(url)
        raise
    except Exception as error:  # a host's client may raise anything
        raise failure_of(error, within=settings.timeout).at(url) from error


async def _request(client: HttpClient, url: str, token: str, settings: Introspection) -> dict[str, Any]:
    headers, form = credentials(settings)
    body = urlencode({"token": token, "token_type_hint": "access_token"} | form).encode("ascii")
    headers |= {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/x-www-form-urlencoded",
    }
    wait = settings.timeout
    timeouts = (min(CONNECT_TIMEOUT, wait), wait, wait, wait)
    async with client.stream(
        "POST", url, headers=headers, timeout=timeouts, follow_redirects=False, content=body
    ) as response:
        received = {name.lower(): value for name, value in response.headers.items()}
        _check(response.status_code, received)
        answer = await read_bounded(response, MAX_BYTES)
    try:
        return read_object(answer)
    except TokenError:
        raise FetchError("the response is not a strict JSON object", status=response.status_code) from None


def unknown_token(settings: Introspection) -> str:
    """Return a token that no endpoint can know, of the form that this one is asked about."""
    prefix = settings.token_prefixes[0] if settings.token_prefixes else ""
    return prefix + secrets.token_urlsafe(32)


def credentials(settings: Introspection) -> tuple[dict[str, str], dict[str, str]]:
    """Return the headers and the form members that authenticate the client (RFC 6749, 2.3.1)."""
    if settings.auth_method == "client_secret_post":
        return {}, {"client_id": settings.client_id, "client_secret": settings.client_secret}
    pair = f"{quote_plus(settings.client_id)}:{quote_plus(settings.client_secret)}"
    return {"authorization": f"Basic {b64encode(pair.encode('ascii')).decode('ascii')}"}, {}


def _check(status: int, headers: Mapping[str, str]) -> None:
    """Raise FetchError for a response that is not a plain JSON document."""
    if status != 200:
        raise _refused(status, headers)
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchError("the response is compressed, and identity was asked for", status=status)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == _SIGNED:
        raise FetchError(
            f"the response is signed ({_SIGNED})",
            code="signed_answer",
            advice="Only application/json is read: ask for plain answers in the client's registration.",
            status=status,
        )
    if media_type != "application/json":
        shown = media_type if _MEDIA_TYPE.fullmatch(media_type) else "of no media type"
        raise FetchError(f"the response is {shown}, not application/json", code="not_json", status=status)


def _refused(status: int, headers: Mapping[str, str]) -> FetchError:
    if status == 401:
        return FetchError(
            "the endpoint refuses the credentials (status 401)",
            code="credentials_refused",
            advice="Check client_id, client_secret and auth_method of Introspection.",
            status=status,
        )
    if 300 <= status < 400:  # its target is not shown: it may repeat the token
        advice = "No redirect is followed: configure the final URL."
        reason = f"the response redirects (status {status})"
        return FetchError(reason, code="redirect", advice=advice, status=status)
    wait = retry_after(headers) if status in {429, 503} else None
    return FetchError(f"the response has status {status}", code="bad_status", status=status, retry_after=wait)
