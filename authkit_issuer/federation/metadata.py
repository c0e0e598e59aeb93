"""The metadata of an OpenID Connect provider (Discovery 1.0 section 4)."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from authkit_issuer.errors import ProviderRefused, ProviderUnavailable
from authkit_issuer.federation.http import ProviderHttp
from authkit_issuer.federation.refusals import quoted, unavailable
from authkit_issuer.ports import Clock
from authkit_verify.config.allowed_urls import is_allowed_url

LIFE = 3600.0
"""Seconds until the document is asked for again."""
STALE = 86_400.0
"""Seconds for which the last good document is used while a new one cannot be fetched."""
PAUSE = 1.0
"""Seconds after a failure without a new request: callers that waited for it share the failure."""
RETRY = 60.0


class Metadata:
    """One document, fetched by one caller on behalf of all."""

    def __init__(
        self, provider: str, issuer: str, http: ProviderHttp, clock: Clock, *, http_loopback: bool
    ) -> None:
        """Fetch nothing yet."""
        self._provider = provider
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._http_loopback = http_loopback
        self._lock = asyncio.Lock()
        self._document: dict[str, Any] | None = None
        self._fetched = self._failed = self._fresh_until = -math.inf

    async def get(self) -> dict[str, Any]:
        """Return the document; raises ``ProviderUnavailable``."""
        if self._document is not None and self._clock() < self._fresh_until:
            return self._document
        async with self._lock:
            now = self._clock()
            if self._document is not None and now < self._fresh_until:
                return self._document
            if now - self._failed < PAUSE:
                raise ProviderUnavailable
            return await self._renewed(now)

    async def endpoint(self, name: str) -> str:
        """Return an address of the document, fit to be called or to send a browser to."""
        found = (await self.get()).get(name)
        if not isinstance(found, str) or not is_allowed_url(found, http_loopback=self._http_loopback):
            raise unavailable(
                self._provider, name, expected="an https URL in the metadata", found=quoted(found)
            )
        return found

    async def _renewed(self, now: float) -> dict[str, Any]:
        try:
            found = await self._fetch()
        except ProviderUnavailable:
            if self._document is None or now - self._fetched >= STALE:
                self._failed = self._clock()
                raise
            self._fresh_until = now + RETRY
            return self._document
        self._document, self._fetched, self._fresh_until = found, now, now + LIFE
        return found

    async def _fetch(self) -> dict[str, Any]:
        place = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = await self._http.object(
                "GET", place, provider=self._provider, http_loopback=self._http_loopback
            )
        except ProviderRefused as error:
            raise ProviderUnavailable from error
        # Byte for byte (section 4.3): what keeps one provider from answering for another.
        if found.get("issuer") != self._issuer:
            raise unavailable(
                self._provider,
                "metadata issuer",
                expected=quoted(self._issuer),
                found=quoted(found.get("issuer")),
            )
        return found
