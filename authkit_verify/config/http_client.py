"""The protocol of the HTTP clients that fetch an issuer's documents: one method that any client can have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

Timeouts = tuple[float, float, float, float]
"""Seconds to connect, to read, to write, and to wait for a connection of the pool."""


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
    pool. ``follow_redirects`` is always False. ``content`` is the body of a request; only introspection
    (RFC 7662) passes it.
    """

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: Timeouts,
        follow_redirects: bool,
        content: bytes = b"",
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send a request and yield the response before its body is read."""
        ...
