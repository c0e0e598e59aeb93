"""Calls to providers, within bounds: https, ten seconds, one mebibyte, no redirect."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from authkit_issuer.federation.refusals import quoted, refused, unavailable
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.telemetry.calls import calling
from authkit_verify.config.allowed_urls import is_allowed_url

MAX_BYTES = 1024 * 1024
TIMEOUT = 10.0
AT_ONCE = 20
"""Calls to one provider at a time; others wait for their turn, and those to other providers do not.

Each may hold a thread that looks up a name (``config.environment.LOOKUP_THREADS``).
"""
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")


class ProviderHttp:
    """One HTTP client for all providers, made at the first call."""

    def __init__(self, client: httpx.AsyncClient | None = None, telemetry: Telemetry | None = None) -> None:
        """Take the host's client, which stays the host's to close, or make one when it is needed."""
        self._telemetry = telemetry
        self._given = client
        self._own: httpx.AsyncClient | None = None
        self._places: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

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
        provider: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
        http_loopback: bool = False,
        secrets: Iterable[str] = (),
    ) -> Any:
        """Return the JSON of the answer.

        Args:
            method: The HTTP method.
            url: The address, of which the log names the host alone.
            provider: The provider's name, for the log.
            body: A form.
            headers: Further headers.
            http_loopback: Allow http to this machine.
            secrets: Texts that were sent and that no log line may repeat.

        Raises:
            ProviderRefused: The answer is a 4xx other than 408 and 429.
            ProviderUnavailable: There is no usable answer.
        """
        _check_url(provider, url, http_loopback=http_loopback)
        host = f"JSON with status 200 from {urlsplit(url).hostname}"
        try:
            with calling(self._telemetry, provider, method, url) as outcome:
                async with asyncio.timeout(TIMEOUT), self._places[provider]:
                    status, content = await self._send(method, url, body, headers or {})
                outcome.status = status
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, UnicodeError) as error:
            raise unavailable(provider, "response", expected=host, found=type(error).__name__) from error
        if 400 <= status < 500 and status not in {408, 429}:
            raise refused(
                provider, "response", expected=host, found=f"status {status}{_error_in(content, secrets)}"
            )
        if status != 200:
            raise unavailable(provider, "response", expected=host, found=f"status {status}")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise unavailable(provider, "response", expected=host, found="no JSON") from error

    async def object(self, method: str, url: str, *, provider: str, **more: Any) -> dict[str, Any]:
        """Return the JSON object of the answer; anything else is ``ProviderUnavailable``."""
        found = await self.json(method, url, provider=provider, **more)
        if not isinstance(found, dict):
            raise unavailable(
                provider, "response", expected="a JSON object", found=f"a JSON {type(found).__name__}"
            )
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
    # Calls are bounded for each provider: of one bound for all, a slow provider would use up everything.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(mounts=dict.fromkeys(_LOOPBACK), cookies=nothing, limits=limits)


def error_of(answer: Mapping[str, Any], secrets: Iterable[str]) -> str:
    """Return ``error`` and ``error_description`` of an answer, cut short (RFC 6749 section 5.2)."""
    told = {name: answer[name] for name in ("error", "error_description") if name in answer}
    for name, value in told.items():
        text = value if isinstance(value, str) else json.dumps(value)
        for secret in filter(None, secrets):
            text = text.replace(secret, "(left out)")
        told[name] = quoted(text)
    return "".join(f", {name} {text}" for name, text in told.items())


def _error_in(content: bytes, secrets: Iterable[str]) -> str:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    return error_of(cast("dict[str, Any]", answer), secrets) if isinstance(answer, dict) else ""


def _check_url(provider: str, url: str, *, http_loopback: bool) -> None:
    if not is_allowed_url(url, http_loopback=http_loopback):
        raise unavailable(provider, "endpoint", expected="an https URL", found=quoted(url))
