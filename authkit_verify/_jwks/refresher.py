"""Fetches of one issuer's key set: at most one at a time, in the background, within limits.

Requests are the only timer: the one that looks when a fetch is due starts it and does not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._jwks.backoff import TokenBucket
from authkit_verify._jwks.fetch import (
    CONNECT_TIMEOUT,
    TOTAL_TIMEOUT,
    Answer,
    FetchError,
    HttpClient,
    fetch,
)
from authkit_verify._jwks.key_set_cache import Clock, KeySetCache, UnusableKeySet
from authkit_verify._telemetry.events import Emit, noop

log = logging.getLogger("authkit_verify")

MAX_WAIT = 2.0
"""Seconds a request waits for a fetch before it is refused with ``keys_unavailable``; the fetch goes on."""
SETTLED_AFTER = 60.0
"""Seconds; a bad signature under a known key id causes a fetch only if the set is older than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The source of a key set: ``locate`` returns its URL, ``client`` the HTTP client to fetch it with."""

    issuer: str
    locate: Callable[[HttpClient], Awaitable[str]]
    client: Callable[[], Awaitable[HttpClient]]


class Refresher:
    """Keeps a ``KeySetCache`` filled from its origin. ``clock`` returns seconds and never goes back."""

    def __init__(self, origin: Origin, cache: KeySetCache, clock: Clock, emit: Emit = noop) -> None:
        self.cache = cache
        self._origin = origin
        self._clock = clock
        self._emit = emit
        self._bucket = TokenBucket(clock)
        self._limited = False
        self._task: asyncio.Task[None] | None = None
        self._bypass_caches = False
        self._url: str | None = None
        self._url_in_doubt = False
        self._etag: str | None = None

    def usable(self) -> tuple[KeySet, KeyState] | None:
        """Return the set to use now, or None. Starts a fetch in the background if one is due."""
        now = self._clock()
        if self.cache.attempted and self.cache.is_due(now):
            self._start(bypass_caches=False)
        return self.cache.usable(now)

    async def load(self, *, wait: float = MAX_WAIT) -> None:
        """Fetch the set unless a failure puts that off; return when it ended, or after ``wait`` seconds."""
        if self._running() is None and not self.cache.is_due(self._clock()):
            return
        await self._join(self._start(bypass_caches=False), wait)

    async def refresh_for_kid(self, kid: str) -> bool:
        """Fetch again because this key id is unknown. True if the cache now holds the issuer's answer.

        The token bucket limits such fetches: ``BURST`` at once and one more per ``REFILL`` seconds. An absent
        key id causes no further fetch for ``NEGATIVE_TTL`` seconds.
        """
        if self.cache.is_absent(kid):
            return True
        wait = MAX_WAIT
        task = self._running()
        if task is not None and not self._bypass_caches:
            # It was sent before this token came, or to a cache: it may well miss a key that is newer.
            started = task.get_loop().time()
            await self._join(task, wait)
            if self.cache.has(kid):
                return True
            wait = max(0.0, wait - (task.get_loop().time() - started))
        renewed = await self._fetch_again("a key id that is not in the set", wait)
        if renewed is None:
            return self.cache.failures == 0
        if renewed and not self.cache.has(kid):
            self.cache.mark_absent(kid)
        return renewed

    async def refresh_for_signature(self) -> bool:
        """Fetch again because a signature under a known key id is bad. True if the set was renewed."""
        if self.cache.age < SETTLED_AFTER:
            return False
        return await self._fetch_again("a bad signature under a known key id") or False

    async def confirm(self, max_age: float) -> bool:
        """True if the issuer confirmed the set within ``max_age`` seconds; fetches again if it did not."""
        if self.cache.age > max_age:
            await self._fetch_again("a route that asks for fresher keys")
        return self.cache.age <= max_age

    async def aclose(self) -> None:
        """Cancel a fetch that is running."""
        task, self._task = self._running(), None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _fetch_again(self, reason: str, wait: float = MAX_WAIT) -> bool | None:
        """Fetch, or join a running fetch. True if it ended well, None if the bucket forbids it."""
        task = self._running()
        if task is None:
            if not self._bucket.take():
                if not self._limited:
                    self._limited = True
                    self._emit("refetch_limited", reason)
                return None
            self._limited = False
            self._emit("keys_refetched", reason)
            task = self._start(bypass_caches=True)
        await self._join(task, wait)
        return task.done() and not task.cancelled() and self.cache.failures == 0

    def _running(self) -> asyncio.Task[None] | None:
        task = self._task
        # A task of a loop that is gone never ends; it must not hold up this one.
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None
        return task

    def _start(self, *, bypass_caches: bool) -> asyncio.Task[None]:
        task = self._running()
        if task is None:
            self._bypass_caches = bypass_caches
            task = self._task = asyncio.get_running_loop().create_task(self._refresh())
        return task

    async def _join(self, task: asyncio.Task[None], wait: float) -> None:
        # asyncio.wait leaves the task alone when a waiter is cancelled or has waited long enough.
        await asyncio.wait({task}, timeout=wait)

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                answer = await self._request()
            self._take(answer)
        except UnusableKeySet as reason:
            self._fail("unusable", str(reason))
        except Exception as error:  # noqa: BLE001 - a host's client may raise anything; keys must outlive it
            self._url_in_doubt, self._etag = True, None
            self._fail("failed", str(error) if isinstance(error, FetchError) else type(error).__name__)

    async def _request(self) -> Answer:
        client = await self._origin.client()
        url = await self._locate(client)
        if url != self._url:
            self._url, self._etag = url, None
        return await fetch(client, url, etag=self._etag, bypass_caches=self._bypass_caches)

    async def _locate(self, client: HttpClient) -> str:
        """Return the URL of the set, located anew if it may have moved: after a failure or for a key id."""
        known = self._url
        if known is not None and not (self._url_in_doubt or self._bypass_caches):
            return known
        try:
            async with asyncio.timeout(None if known is None else CONNECT_TIMEOUT):
                return await self._origin.locate(client)
        except Exception:  # whatever it is: the last known URL may still answer
            if known is None:
                raise
            return known

    def _take(self, answer: Answer) -> None:
        update = self.cache.take(answer)
        if answer.body is not None:  # the tag of an unusable document is not kept
            self._etag = answer.headers.get("etag")
        self._url_in_doubt = False
        for kid in update.repeated:
            self._emit("repeated_kid", f"several keys have the id {kid!a}")
        for note in update.skipped:
            log.info("keys of %s: skipped %s", self._origin.issuer, note)
        for note in update.alarms:
            log.error("keys of %s: %s", self._origin.issuer, note)
            self._emit("private_key_published", note)
        self._emit("keys_fetched", update.outcome)

    def _fail(self, outcome: Literal["unusable", "failed"], reason: str) -> None:
        delay = self.cache.fail(outcome)
        self._emit("keys_refused" if outcome == "unusable" else "fetch_failed", reason)
        log.warning(
            "keys of %s: %s; %d in a row, next try in %.1f s",
            self._origin.issuer, reason, self.cache.failures, delay,
        )  # fmt: skip
