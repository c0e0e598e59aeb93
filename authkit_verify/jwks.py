"""The key set of one issuer: fresh, then stale through an outage, never lost to a bad answer.

Requests are the only clock hand: whoever looks when a refresh is due starts it in the background and does not
wait. There is at most one fetch at a time. A set in memory is replaced only by a set with a usable key.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from cachetools import TTLCache

from authkit_verify.fetch import TOTAL_TIMEOUT, Answer, FetchError, HttpClient, fetch
from authkit_verify.freshness import Lifetime, lifetime
from authkit_verify.jwk import UnusableDocument, read_jwks
from authkit_verify.keys import KeySet, KeyState
from authkit_verify.pacing import Bucket, backoff, system_random

log = logging.getLogger("authkit_verify")

Clock = Callable[[], float]
MAX_WAIT = 2.0
"""Seconds a request waits for a fetch before it is told that keys are unavailable; the fetch goes on."""
NEGATIVE_TTL = 30.0
NEGATIVE_SIZE = 512
SETTLED_AFTER = 60.0
"""A bad signature under a known key id is reason to look again only when the set is older than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a set comes from and how long it may be used (seconds)."""

    issuer: str
    locate: Callable[[HttpClient], Awaitable[str]]
    client: Callable[[], Awaitable[HttpClient]]
    cache_ttl: float
    max_stale: float


class _Unusable(Exception):
    """The issuer answered, and its document held no key that could be used."""


class RemoteKeys:
    """The keys of one issuer. ``clock`` returns seconds and never goes back."""

    def __init__(self, origin: Origin, clock: Clock, random_unit: Clock = system_random) -> None:
        self._origin = origin
        self._clock = clock
        self._random = random_unit
        self._bucket = Bucket(clock)
        self._absent: TTLCache[str, None] = TTLCache(NEGATIVE_SIZE, NEGATIVE_TTL, timer=clock)
        self._task: asyncio.Task[None] | None = None
        self._url: str | None = None
        self._etag: str | None = None
        self._keys: KeySet | None = None
        self._fetched_at = -math.inf
        self._lifetime = Lifetime(0.0, 0.0)
        self._refresh_at = -math.inf
        self._last: Literal["none", "good", "unusable", "failed"] = "none"
        self.failures = 0
        """Fetches that failed in a row."""
        self.turns = 0
        """Fetches that ended, well or not: while it stands, only time changes what answers."""

    @property
    def attempted(self) -> bool:
        """Tell whether any fetch has ended."""
        return self._last != "none"

    @property
    def refresh_in(self) -> float:
        """Seconds until the next fetch is due; 0 when it is."""
        return max(0.0, self._refresh_at - self._clock())

    def usable(self) -> tuple[KeySet, KeyState] | None:
        """Return the set to use now, or None. Starts a refresh in the background when one is due."""
        now = self._clock()
        if self.attempted and now >= self._refresh_at:
            self._start(past_caches=False)
        return self.held(now)

    def held(self, now: float) -> tuple[KeySet, KeyState] | None:
        """Return the set that may be used at this moment, or None, and do nothing about it."""
        age = now - self._fetched_at
        if self._keys is None or age >= self._lifetime.fresh + self._lifetime.stale:
            return None
        if self._last == "unusable":
            return self._keys, KeyState(source="last_known_good", age=age)
        return self._keys, KeyState(source="fresh" if age < self._lifetime.fresh else "stale", age=age)

    def quiet_until(self) -> float:
        """Return when time alone next changes what ``usable`` does."""
        return min(self._refresh_at, self._fetched_at + self._lifetime.fresh + self._lifetime.stale)

    async def load(self, *, wait: float = MAX_WAIT) -> None:
        """Fetch the set unless failures forbid it for now; return when that ended or ``wait`` is over."""
        if self._running() is None and self._clock() < self._refresh_at:
            return
        await self._join(self._start(past_caches=False), wait)

    async def look_for(self, kid: str) -> bool:
        """Fetch again because this key id is unknown. Tell whether the set now is a true answer about it.

        At most ``BURST`` such fetches at once and one per ``REFILL`` seconds, whoever asks; an id that was
        not there is not looked for again within ``NEGATIVE_TTL`` seconds.
        """
        if kid in self._absent:
            return True
        if not await self._again():
            return self.failures == 0
        if self._keys is None or not self._keys.has(kid):
            self._absent[kid] = None
        return True

    async def look_again(self) -> bool:
        """Fetch again because a signature under a known key id is bad. Tell whether the set was renewed."""
        if self._clock() - self._fetched_at < SETTLED_AFTER:
            return False
        return await self._again()

    async def aclose(self) -> None:
        """Stop a fetch that is under way."""
        task, self._task = self._running(), None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _again(self) -> bool:
        """Fetch if the bucket allows, or join a fetch under way. Tell whether one ended well."""
        task = self._running()
        if task is None:
            if not self._bucket.take():
                return False
            task = self._start(past_caches=True)
        await self._join(task, MAX_WAIT)
        return task.done() and self.failures == 0

    def _running(self) -> asyncio.Task[None] | None:
        task = self._task
        # A task of a loop that is gone never ends; it must not hold up this one.
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None
        return task

    def _start(self, *, past_caches: bool) -> asyncio.Task[None]:
        task = self._running()
        if task is None:
            task = self._task = asyncio.get_running_loop().create_task(self._refresh(past_caches=past_caches))
        return task

    async def _join(self, task: asyncio.Task[None], wait: float) -> None:
        # asyncio.wait leaves the task alone when a waiter is cancelled or has waited long enough.
        await asyncio.wait({task}, timeout=wait)

    async def _refresh(self, *, past_caches: bool) -> None:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                answer = await self._ask(past_caches=past_caches)
            self._take(answer)
        except _Unusable as reason:
            self._fail("unusable", str(reason))
        except Exception as error:  # noqa: BLE001 - a host's client may raise anything; keys must outlive it
            self._url = self._etag = None  # the metadata may name a new address
            self._fail("failed", str(error) if isinstance(error, FetchError) else type(error).__name__)

    async def _ask(self, *, past_caches: bool) -> Answer:
        client = await self._origin.client()
        if self._url is None:
            self._url = await self._origin.locate(client)
        return await fetch(client, self._url, etag=self._etag, past_caches=past_caches)

    def _take(self, answer: Answer) -> None:
        if answer.body is not None:
            self._replace(answer.body)
            self._etag = answer.headers.get("etag")
        now = self._clock()
        self._absent.clear()
        self._fetched_at = now
        if answer.body is not None or "cache-control" in answer.headers:  # a 304 may leave it out
            self._lifetime = lifetime(
                answer.headers, cache_ttl=self._origin.cache_ttl, max_stale=self._origin.max_stale
            )
        # At 80 %, give or take a tenth of that, so that workers started together drift apart.
        self._refresh_at = now + self._lifetime.fresh * (0.72 + 0.16 * self._random())
        self._last, self.failures = "good", 0
        self.turns += 1

    def _replace(self, body: bytes) -> None:
        try:
            reading = read_jwks(body)
        except UnusableDocument as error:
            raise _Unusable(str(error)) from None
        if not len(reading.keys):
            raise _Unusable("the key set holds no usable key")
        if self._keys is None or self._keys.digest != reading.keys.digest:
            for note in reading.skipped:
                log.info("keys of %s: skipped %s", self._origin.issuer, note)
            for note in reading.alarms:
                log.error("keys of %s: %s", self._origin.issuer, note)
            self._keys = reading.keys

    def _fail(self, last: Literal["unusable", "failed"], reason: str) -> None:
        self.failures += 1
        self.turns += 1
        self._last = last
        delay = backoff(self.failures, self._random)
        self._refresh_at = self._clock() + delay
        log.warning(
            "keys of %s: %s; %d in a row, next try in %.1f s",
            self._origin.issuer, reason, self.failures, delay,
        )  # fmt: skip
