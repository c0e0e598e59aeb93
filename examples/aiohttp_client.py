"""Fetch the keys of issuers with aiohttp: ``Verifier(config, http_client=AiohttpClient(session))``.

Any client will do: the verifier calls one method, ``stream``, of the protocol ``authkit_verify.HttpClient``.
The ``AsyncClient`` of httpx and of httpx2 has it; another client gets it in these few lines.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any


class AiohttpClient:
    """A client of the verifier over an ``aiohttp.ClientSession``, which the application opens and closes."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        follow_redirects: bool,
        content: bytes = b"",
        **_limits: object,
    ) -> AsyncGenerator[AiohttpResponse]:
        """Send a request and yield the response; the verifier itself ends a request after five seconds."""
        async with self._session.request(
            method, url, headers=headers, data=content or None, allow_redirects=follow_redirects
        ) as response:
            yield AiohttpResponse(response)


class AiohttpResponse:
    """The part of a response that the verifier reads."""

    def __init__(self, response: Any) -> None:
        self.status_code: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body piece by piece."""
        pieces: AsyncIterator[bytes] = self._content.iter_any().__aiter__()
        return pieces
