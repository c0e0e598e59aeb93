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

from authkit_verify._jose.jwk import UnusableDocument, read_jwks
from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._jwks.backoff import Bucket, backoff, system_random
from authkit_verify._jwks.cache_lifetime import Lifetime, lifetime
from authkit_verify._jwks.fetch import (
    CONNECT_TIMEOUT,
    TOTAL_TIMEOUT,
    Answer,
    FetchError,
    HttpClient,
    fetch,
)
from authkit_verify._telemetry.events import Tell, silent

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

    def __init__(
        self, origin: Origin, clock: Clock, random_unit: Clock = system_random, tell: Tell = silent
    ) -> None:
        self._origin = origin
        self._tell = tell
        self._clock = clock
        self._random = random_unit
        self._bucket = Bucket(clock)
        self._absent: TTLCache[str, None] = TTLCache(NEGATIVE_SIZE, NEGATIVE_TTL, timer=clock)
        self._task: asyncio.Task[None] | None = None
        self._past_caches = False
        self._url: str | None = None
        self._url_in_doubt = False
        self._etag: str | None = None
        self._keys: KeySet | None = None
        self._skipped: tuple[str, ...] = ()
        self._alarms: tuple[str, ...] = ()
        self._limited = False
        self._fetched_at = -math.inf
        self._lifetime = Lifetime(0.0, 0.0)
        self._refresh_at = -math.inf
        self._last: Literal["none", "good", "unusable", "failed"] = "none"
        self.failures = 0
        """Fetches that failed in a row."""
        self.turns = 0
        """Fetches that ended, well or not: while it stands, only time changes what answers."""
        self.good = 0
        """Those of them that ended well."""

    @property
    def attempted(self) -> bool:
        """Tell whether any fetch has ended."""
        return self._last != "none"

    @property
    def age(self) -> float:
        """Seconds since the issuer confirmed the set."""
        return self._clock() - self._fetched_at

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
        """Return when time alone next changes what ``usable`` does, or how it calls the set."""
        stale_from = self._fetched_at + self._lifetime.fresh
        is_fresh = self._clock() < stale_from
        return min(self._refresh_at, stale_from if is_fresh else stale_from + self._lifetime.stale)

    async def load(self, *, wait: float = MAX_WAIT) -> None:
        """Fetch the set unless failures forbid it for now; return when that ended or ``wait`` is over."""
        if self._running() is None and self._clock() < self._refresh_at:
            return
        await self._join(self._start(past_caches=False), wait)

    def lacks(self, kid: str) -> bool:
        """Tell whether this key id was looked for not long ago and is not there."""
        return kid in self._absent

    async def look_for(self, kid: str) -> bool:
        """Fetch again because this key id is unknown. Tell whether the set now is a true answer about it.

        At most ``BURST`` such fetches at once and one per ``REFILL`` seconds, whoever asks; an id that was
        not there is not looked for again within ``NEGATIVE_TTL`` seconds.
        """
        if self.lacks(kid):
            return True
        wait = MAX_WAIT
        task = self._running()
        if task is not None and not self._past_caches:
            # It was asked before this token came, or of a cache: it may well miss a key that is newer.
            started = task.get_loop().time()
            await self._join(task, wait)
            if self._has(kid):
                return True
            wait = max(0.0, wait - (task.get_loop().time() - started))
        renewed = await self._again("a key id that is not in the set", wait)
        if renewed is None:
            return self.failures == 0
        if renewed and not self._has(kid):
            self._absent[kid] = None
        return renewed

    async def look_again(self) -> bool:
        """Fetch again because a signature under a known key id is bad. Tell whether the set was renewed."""
        if self._clock() - self._fetched_at < SETTLED_AFTER:
            return False
        return await self._again("a bad signature under a known key id") or False

    async def confirm(self, max_age: float) -> bool:
        """Fetch again if the set was not confirmed within ``max_age`` seconds. Tell whether it now is."""
        if self.age > max_age:
            await self._again("a route that asks for fresher keys")
        return self.age <= max_age

    async def aclose(self) -> None:
        """Stop a fetch that is under way."""
        task, self._task = self._running(), None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _has(self, kid: str) -> bool:
        return self._keys is not None and self._keys.has(kid)

    async def _again(self, why: str, wait: float = MAX_WAIT) -> bool | None:
        """Fetch, or join a fetch under way. Tell whether it ended well; None when the bucket forbids it."""
        task = self._running()
        if task is None:
            if not self._bucket.take():
                if not self._limited:
                    self._limited = True
                    self._tell("refetch_limited", why)
                return None
            self._limited = False
            self._tell("keys_refetched", why)
            task = self._start(past_caches=True)
        await self._join(task, wait)
        return task.done() and not task.cancelled() and self.failures == 0

    def _running(self) -> asyncio.Task[None] | None:
        task = self._task
        # A task of a loop that is gone never ends; it must not hold up this one.
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None
        return task

    def _start(self, *, past_caches: bool) -> asyncio.Task[None]:
        task = self._running()
        if task is None:
            self._past_caches = past_caches
            task = self._task = asyncio.get_running_loop().create_task(self._refresh())
        return task

    async def _join(self, task: asyncio.Task[None], wait: float) -> None:
        # asyncio.wait leaves the task alone when a waiter is cancelled or has waited long enough.
        await asyncio.wait({task}, timeout=wait)

    async def _refresh(self) -> None:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                answer = await self._ask()
            self._take(answer)
        except _Unusable as reason:
            self._fail("unusable", str(reason))
        except Exception as error:  # noqa: BLE001 - a host's client may raise anything; keys must outlive it
            self._url_in_doubt, self._etag = True, None
            self._fail("failed", str(error) if isinstance(error, FetchError) else type(error).__name__)

    async def _ask(self) -> Answer:
        client = await self._origin.client()
        url = await self._address(client)
        if url != self._url:
            self._url, self._etag = url, None
        return await fetch(client, url, etag=self._etag, past_caches=self._past_caches)

    async def _address(self, client: HttpClient) -> str:
        """Return where the set is. It may have moved when a fetch failed or a key id is not in it."""
        known = self._url
        if known is not None and not (self._url_in_doubt or self._past_caches):
            return known
        try:
            async with asyncio.timeout(None if known is None else CONNECT_TIMEOUT):
                return await self._origin.locate(client)
        except Exception:  # whatever it is: the address that was true last may still answer
            if known is None:
                raise
            return known

    def _take(self, answer: Answer) -> None:
        before, what = self._keys, "not modified"
        if answer.body is not None:
            self._replace(answer.body)
            what = "the same keys" if self._keys is before else "new keys"
            self._etag = answer.headers.get("etag")
        self._url_in_doubt = False
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
        self.good += 1
        self._tell("keys_fetched", what)

    def _replace(self, body: bytes) -> None:
        try:
            reading = read_jwks(body)
        except UnusableDocument as error:
            raise _Unusable(str(error)) from None
        if not len(reading.keys):
            raise _Unusable("the key set holds no usable key")
        if self._keys is None or self._keys.digest != reading.keys.digest:
            self._keys = reading.keys
            for kid in reading.keys.repeated:
                self._tell("repeated_kid", f"several keys are called {kid!a}")
        if reading.skipped != self._skipped:
            for note in reading.skipped:
                log.info("keys of %s: skipped %s", self._origin.issuer, note)
        if reading.alarms != self._alarms:
            for note in reading.alarms:
                log.error("keys of %s: %s", self._origin.issuer, note)
                self._tell("private_key_published", note)
        self._skipped, self._alarms = reading.skipped, reading.alarms

    def _fail(self, last: Literal["unusable", "failed"], reason: str) -> None:
        self.failures += 1
        self.turns += 1
        self._last = last
        self._tell("keys_refused" if last == "unusable" else "fetch_failed", reason)
        delay = backoff(self.failures, self._random)
        self._refresh_at = self._clock() + delay
        log.warning(
            "keys of %s: %s; %d in a row, next try in %.1f s",
            self._origin.issuer, reason, self.failures, delay,
        )  # fmt: skip
