"""One POST to a provider of SMS: a deadline, one more try if no connection was made, nothing of it in a log.

The transport of httpx is used without its client, which logs addresses: one of them may hold a phone number
or a secret. A transport follows no redirect and keeps no cookie.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from authkit_issuer.ports import SendFailure, TemporarySendFailure

TIMEOUT = 10.0
"""Seconds for the whole request, the second try included."""
CONNECT_TIMEOUT = 3.0
MAX_ANSWER = 65_536
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout)
_SILENCE = (TimeoutError, httpx.ReadTimeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the provider answered."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        """True if the provider took the message."""
        return 200 <= self.status < 300

    @property
    def is_temporary(self) -> bool:
        """True if a later try may succeed."""
        return self.status in {408, 425, 429} or self.status >= 500


class ProviderHttp:
    """Posts to the provider. The transport is made at the first message."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._opening = asyncio.Lock()

    async def post(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the answer; raises ``TemporarySendFailure`` without one.

        After a silence that is ``SendFailure``: the provider may have sent the SMS, and another would cost as
        much.
        """
        host = httpx.URL(url).host
        try:
            async with asyncio.timeout(TIMEOUT):
                try:
                    return await self._post(url, headers, body)
                except _NO_CONNECTION:
                    return await self._post(url, headers, body)  # nothing was sent
        except _SILENCE as error:
            raise SendFailure(f"{host}: {type(error).__name__}") from None
        except (httpx.HTTPError, OSError) as error:
            raise TemporarySendFailure(f"{host}: {type(error).__name__}") from None

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        transport = await self._opened()
        seconds = {"connect": CONNECT_TIMEOUT, "read": TIMEOUT, "write": TIMEOUT, "pool": TIMEOUT}
        sent = {"user-agent": "authkit", "accept": "application/json", **headers}
        request = httpx.Request("POST", url, headers=sent, content=body, extensions={"timeout": seconds})
        answer = await transport.handle_async_request(request)
        try:
            return Answer(status=answer.status_code, body=await _read(answer))
        finally:
            await answer.aclose()

    async def _opened(self) -> httpx.AsyncHTTPTransport:
        async with self._opening:
            if self._transport is None:
                # Loading the certificates of the machine blocks for a while.
                self._transport = await asyncio.to_thread(_make)
            return self._transport

    async def aclose(self) -> None:
        """Close the connections."""
        if self._transport is not None:
            await self._transport.aclose()


def refused(host: str, answer: Answer, reason: str = "") -> SendFailure:
    """Return the failure of an answer; its text has the status, and not what the provider wrote."""
    kind = TemporarySendFailure if answer.is_temporary else SendFailure
    return kind(f"{host}: HTTP {answer.status}{reason}")


def _make() -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(verify=httpx.create_ssl_context(), trust_env=False)


async def _read(answer: httpx.Response) -> bytes:
    parts, size = [], 0
    async for part in answer.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER:
            break
    return b"".join(parts)
