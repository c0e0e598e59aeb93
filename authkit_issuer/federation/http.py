"""Calls to providers, within bounds: https, ten seconds, one mebibyte, no redirect."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from authkit_issuer.errors import ProviderRefused, ProviderUnavailable
from authkit_verify.config import is_allowed_url

MAX_BYTES = 1024 * 1024
TIMEOUT = 10.0
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")

logger = logging.getLogger("authkit.providers")


class ProviderHttp:
    """One HTTP client for all providers, made at the first call."""

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        """Take the host's client, which stays the host's to close, or make one when it is needed."""
        self._given = client
        self._own: httpx.AsyncClient | None = None

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncGenerator[httpx.Response]:
        """Send a request and yield the answer before its body is read; the verifier fetches keys with it."""
        client = await self._client()
        async with client.stream(method, url, **options) as response:
            yield response

    async def json(
        self,
        method: str,
        url: str,
        *,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_loopback: bool = False,
    ) -> Any:
        """Return the JSON of the answer.

        A 4xx other than 408 and 429 is ``ProviderRefused``; everything else that is no good answer is
        ``ProviderUnavailable``. Neither quotes what was sent or received.
        """
        _check_url(url, http_loopback=http_loopback)
        try:
            async with asyncio.timeout(TIMEOUT):
                status, content = await self._send(method, url, body, headers or {})
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            logger.warning("provider %s: %s", urlsplit(url).hostname, type(error).__name__)
            raise ProviderUnavailable from error
        if 400 <= status < 500 and status not in {408, 429}:
            logger.warning("provider %s refused with %d", urlsplit(url).hostname, status)
            raise ProviderRefused
        if status != 200:
            logger.warning("provider %s answered %d", urlsplit(url).hostname, status)
            raise ProviderUnavailable
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ProviderUnavailable from error

    async def object(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        """Return the JSON object of the answer; anything else is ``ProviderUnavailable``."""
        found = await self.json(method, url, **more)
        if not isinstance(found, dict):
            raise ProviderUnavailable
        return cast("dict[str, Any]", found)

    async def _send(
        self, method: str, url: str, body: str | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        wanted = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "authkit",
            **headers,
        }
        if body is not None:
            wanted["content-type"] = "application/x-www-form-urlencoded"
        async with self.stream(
            method, url, content=body, headers=wanted, follow_redirects=False, timeout=TIMEOUT
        ) as response:
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                # It was asked for plain; unpacking would make the size below meaningless.
                raise httpx.ReadError("the answer is compressed")
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MAX_BYTES:
                    raise httpx.ReadError("the answer is too large")
            return response.status_code, bytes(content)

    async def aclose(self) -> None:
        """Close the client made here."""
        own, self._own = self._own, None
        if own is not None:
            await own.aclose()

    async def _client(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        if self._own is None:
            # Loading the trusted certificates takes too long for the loop.
            made = await asyncio.to_thread(_make)
            self._own = self._own or made
        return self._own


def _make() -> httpx.AsyncClient:
    """Return a client that goes to loopback past any proxy, and keeps no cookies from call to call."""
    nothing = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(mounts=dict.fromkeys(_LOOPBACK), cookies=nothing)


def _check_url(url: str, *, http_loopback: bool) -> None:
    if not is_allowed_url(url, http_loopback=http_loopback):
        logger.warning("a provider names an address that is not https")
        raise ProviderUnavailable
