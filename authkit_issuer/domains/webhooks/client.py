"""One POST to an endpoint, within bounds: checked addresses, no redirect, no proxy, a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx

from authkit_issuer.config import Config
from authkit_issuer.domains.webhooks.addresses import Address, AddressRefused, Names
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry.calls import calling

TIMEOUT = 15.0
"""Seconds for the whole request, the look-up of the name included."""
CONNECT_TIMEOUT = 5.0
LONGEST_WAIT = 86_400.0
"""Seconds that a receiver may ask to wait (``Retry-After``)."""
GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one request."""

    status: int | None = None
    reason: str = ""
    """Why there is no status."""
    retry_after: float = 0.0

    @property
    def ok(self) -> bool:
        """True if the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The status or the reason, for the operator."""
        return f"status {self.status}" if self.status is not None else self.reason


class WebhookClient:
    """Posts messages. The HTTP client is made at the first one."""

    def __init__(self, config: Config, telemetry: Telemetry | None = None) -> None:
        """Take the rules of the configuration, and what receives the numbers."""
        self._names = Names(config)
        self._telemetry = telemetry
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Send a message and return what became of it; raises nothing but a cancellation."""
        try:
            with calling(self._telemetry, "webhook", "POST", url) as called:
                async with asyncio.timeout(TIMEOUT):
                    outcome = await self._post(url, headers, body)
                called.status = outcome.status
                return outcome
        except AddressRefused as error:
            return Outcome(reason=str(error))
        except TimeoutError:
            return Outcome(reason=f"no answer within {TIMEOUT:.0f} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return Outcome(reason=f"no connection: {type(error).__name__}")

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        addresses = await self._names.addresses_of(url)
        for address in addresses[:-1]:
            try:
                return await self._to(address, url, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # nothing was sent: the next address may answer
        return await self._to(addresses[-1], url, headers, body)

    async def _to(self, address: Address, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        parts = urlsplit(url)
        client = await self._opened()
        async with client.stream(
            "POST",
            httpx.URL(url).copy_with(host=str(address)),
            content=body,
            headers={
                "content-type": "application/json",
                "user-agent": "authkit-webhooks",
                "host": parts.netloc,
                **headers,
            },
            # The certificate names the host, not its address.
            extensions={"sni_hostname": parts.hostname},
        ) as answer:
            return Outcome(status=answer.status_code, retry_after=_retry_after(answer.headers))

    async def _opened(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                # Loading the certificates of the machine blocks for a while.
                self._client = await asyncio.to_thread(_make)
            return self._client

    async def aclose(self) -> None:
        """Close the HTTP client."""
        if self._client is not None:
            await self._client.aclose()


def _make() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=httpx.create_ssl_context(),  # of SSL_CERT_FILE, if that is set
        trust_env=False,  # a proxy would look names up by itself
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
        # Connections are by address: one that is kept may belong to another name.
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def _retry_after(headers: httpx.Headers) -> float:
    text = headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
