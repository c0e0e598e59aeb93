"""The HTTP client of each issuer: the host's own, or one of httpx that lives for one refresh.

``fetch`` has the limits of a request.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from authkit_verify.config import IssuerAccept
from authkit_verify.config.allowed_urls import is_loopback
from authkit_verify.config.http_client import HttpClient, StreamedResponse

OpenClient = Callable[[], AbstractAsyncContextManager[HttpClient]]
"""Opens the client for one refresh."""


class Clients:
    """The HTTP clients of a verifier; ``given`` serves each issuer without settings of its own."""

    def __init__(self, given: HttpClient | None) -> None:
        self._given = given
        self._trust = _Trust(None)

    def of(self, accept: IssuerAccept) -> OpenClient:
        """Return what opens the client of this issuer; nothing of it is used for another issuer."""
        own = accept.ca_file is not None or accept.proxy is not None
        given = self._given if accept.http_client is None and not own else accept.http_client
        trust = self._trust if accept.ca_file is None else _Trust(accept.ca_file)

        @asynccontextmanager
        async def opened() -> AsyncGenerator[HttpClient]:
            if given is not None:
                yield _with_headers(given, accept.headers)
                return
            # The import and loading the certificates take 100 ms and more, too long for the event loop.
            context = trust.context
            if context is None:
                context = await asyncio.to_thread(trust.load)
            async with AsyncExitStack() as stack:
                yield _with_headers(_HttpxClient(context, accept.proxy, stack), accept.headers)

        return opened


class _Trust:
    """The certificates that servers are checked with, loaded once. Default: those that httpx would use."""

    def __init__(self, ca_file: str | None) -> None:
        self._ca_file = ca_file
        self.context: ssl.SSLContext | None = None

    def load(self) -> ssl.SSLContext:
        """Return the context; import httpx on the way."""
        import httpx  # noqa: PLC0415 - the import of the package must not take as long as this one

        if self.context is None:  # no other thread loaded it meanwhile
            self.context = (
                httpx.create_ssl_context()
                if self._ca_file is None
                else ssl.create_default_context(cafile=self._ca_file)
            )
        return self.context


class _HttpxClient:
    """A client for one refresh: no connection outlives it, so none dies with an event loop or in a fork."""

    def __init__(self, context: ssl.SSLContext, proxy: str | None, stack: AsyncExitStack) -> None:
        self._context = context
        self._proxy = proxy
        self._stack = stack
        self._clients: dict[str | None, HttpClient] = {}

    @asynccontextmanager
    async def stream(self, method: str, url: str, **terms: Any) -> AsyncGenerator[StreamedResponse]:
        """Send a request, through the proxy for its host, and yield the response before its body is read."""
        import httpx  # noqa: PLC0415 - loaded by ``_Trust.load``

        proxy = self._proxy or environment_proxy(url)
        client = self._clients.get(proxy)
        if client is None:
            made = httpx.AsyncClient(verify=self._context, proxy=proxy, trust_env=False)
            client = self._clients[proxy] = await self._stack.enter_async_context(made)
        async with client.stream(method, url, **terms) as response:
            yield response


class _HeadedClient:
    """A client that sends more headers; those of the request itself go before them."""

    def __init__(self, client: HttpClient, headers: Mapping[str, str]) -> None:
        self._client = client
        self._headers = headers

    def stream(
        self, method: str, url: str, *, headers: Mapping[str, str], **terms: Any
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send a request and yield the response before its body is read."""
        return self._client.stream(method, url, headers={**self._headers, **headers}, **terms)


def _with_headers(client: HttpClient, headers: Mapping[str, str]) -> HttpClient:
    return _HeadedClient(client, headers) if headers else client


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for this URL, or None. ``NO_PROXY`` excludes hosts.

    Read here because httpx raises for an IPv6 range or ``[::1]`` in NO_PROXY.
    """
    from urllib.request import getproxies  # noqa: PLC0415 - a large module, which httpx imports as well

    parts = urlsplit(url)
    host = parts.hostname or ""
    # A proxy of the environment serves external hosts; for a loopback address it would connect to itself.
    if is_loopback(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or any(_excludes(entry, parts.scheme, host) for entry in proxies.get("no", "").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _excludes(entry: str, scheme: str, host: str) -> bool:
    """True if an entry of NO_PROXY has this host: ``*``, a domain, an address, or a range of addresses."""
    limited, separator, rest = entry.strip().lower().rpartition("://")
    if separator and limited not in {"all", scheme}:
        return False
    if rest == "*":
        return True
    bare = rest.partition("]")[0].lstrip("[") if rest.startswith("[") else rest
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(bare, strict=False)
    except ValueError:  # one of them is a name
        domain = bare.rpartition(":")[0] or bare
        domain = domain.lstrip("*").lstrip(".")
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
