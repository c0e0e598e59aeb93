"""Fetch one JSON document from an issuer, within limits: no redirect, no compression, a size, a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import httpx

MAX_BYTES = 256 * 1024
"""Bytes; a larger document is refused."""
CONNECT_TIMEOUT = 2.0
"""Seconds."""
TOTAL_TIMEOUT = 5.0
"""Seconds for all requests of one refresh, discovery included."""

# A proxy of the environment serves external hosts; for a loopback address it would connect to itself.
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_TIMEOUTS = (CONNECT_TIMEOUT, TOTAL_TIMEOUT, TOTAL_TIMEOUT, TOTAL_TIMEOUT)

Timeouts = tuple[float, float, float, float]
"""Seconds to connect, to read, to write, and to wait for a connection of the pool."""


class FetchError(Exception):
    """The document could not be fetched; the message gives the reason and no part of the document."""


class StreamedResponse(Protocol):
    """The part of a streamed response that is read."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are compared in lower case."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece."""
        ...


class HttpClient(Protocol):
    """An HTTP client: an ``AsyncClient`` of httpx or httpx2, or any object with this one method.

    ``timeout`` is four numbers of seconds: to connect, to read, to write, and to wait for a connection of the
    pool. ``follow_redirects`` is always False.
    """

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: Timeouts,
        follow_redirects: bool,
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send a request and yield the response before its body is read."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """A document, or ``body=None`` if it has not changed (304). Header names are in lower case."""

    body: bytes | None
    headers: Mapping[str, str]


async def fetch(
    client: HttpClient, url: str, *, etag: str | None = None, bypass_caches: bool = False
) -> Answer:
    """Return the document at ``url``. Raises FetchError, or any error of the client.

    ``bypass_caches`` asks every cache on the way to revalidate. The caller limits the total time.
    """
    wanted = {"accept": "application/jwk-set+json, application/json", "accept-encoding": "identity"}
    if etag is not None:
        wanted["if-none-match"] = etag
    if bypass_caches:
        wanted["cache-control"] = "no-cache"
    async with client.stream(
        "GET", url, headers=wanted, timeout=_TIMEOUTS, follow_redirects=False
    ) as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code == 304 and etag is not None:
            return Answer(None, headers)
        if response.status_code != 200:
            raise FetchError(f"the response has status {response.status_code}")
        if headers.get("content-encoding", "identity").lower() != "identity":
            # Identity was requested; decompression would make the size limit below meaningless.
            raise FetchError("the response is compressed")
        return Answer(await _bounded(response), headers)


async def _bounded(response: StreamedResponse) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_BYTES:
            raise FetchError(f"the response is larger than {MAX_BYTES} bytes")
    return bytes(body)


class Clients:
    """The HTTP client: the host's own, or one made at the first fetch and closed with the verifier."""

    def __init__(self, given: HttpClient | None) -> None:
        self._given = given
        self._own: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def get(self) -> HttpClient:
        """Return the client for the running loop."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        if self._own is None or self._loop is not loop:
            # Loading the trusted certificates takes tens of milliseconds, too long for the event loop.
            made = await asyncio.to_thread(httpx.AsyncClient, mounts=dict.fromkeys(_LOOPBACK))
            if self._own is None or self._loop is not loop:  # no other task made one meanwhile
                self._own, self._loop = made, loop
        return self._own

    async def aclose(self) -> None:
        """Close the client made here; the host's own stays open."""
        own, self._own = self._own, None
        if own is not None and self._loop is asyncio.get_running_loop():
            await own.aclose()
