"""Fetches of one issuer's key set: at most one at a time on an event loop, in the background, within limits.

Requests are the only timer: the one that looks when a fetch is due starts it and does not wait for it. It
waits where the background does not get to the end of a fetch: on a loop that lives for one call, or stands
still between calls. ``fetch_limits`` has the limits, ``unknown_kid`` the fetch for a key id that is not in
the set.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Literal, Self

import msgspec

from authkit_verify._jose.jwk import libraries_are_loaded, load_libraries
from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._jwks.client import OpenClient
from authkit_verify._jwks.discovery import Location
from authkit_verify._jwks.fetch import CONNECT_TIMEOUT, TOTAL_TIMEOUT, Answer, fetch
from authkit_verify._jwks.fetch_error import FetchError, failure_of
from authkit_verify._jwks.fetch_limits import SETTLED_AFTER, TRUSTED_FOR, TokenBucket
from authkit_verify._jwks.key_set_cache import Clock, KeySetCache, UnusableKeySet, Validator
from authkit_verify._telemetry.events import Emit, noop
from authkit_verify.config.http_client import HttpClient

log = logging.getLogger("authkit_verify")

MAX_WAIT = 2.0
"""Seconds a request waits for a fetch before it is refused with ``keys_unavailable``; the fetch goes on."""
_TICK = 0.5
"""Seconds; a loop that is later than this by as much stood still."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The source of a key set: ``locate`` returns its URL, ``client`` opens the HTTP client for a fetch."""

    issuer: str
    locate: Callable[[HttpClient], Awaitable[Location]]
    client: OpenClient


class NoEventLoop(RuntimeError):
    """A fetch is due, and the calling thread has no event loop to start it on."""


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NoEventLoop("a fetch of keys is due, and this thread has no event loop") from None


class _Fetch:
    """A fetch on one event loop."""

    __slots__ = ("bypass_caches", "task", "waited_for")

    def __init__(self, *, bypass_caches: bool) -> None:
        self.bypass_caches = bypass_caches
        self.waited_for = False
        self.task: asyncio.Task[None]


class Refresher:
    """Keeps a ``KeySetCache`` filled from its origin. ``clock`` returns seconds and never goes back."""

    def __init__(self, origin: Origin, cache: KeySetCache, clock: Clock, emit: Emit = noop) -> None:
        self.cache = cache
        self._origin = origin
        self._clock = clock
        self._emit = emit
        self._bucket = TokenBucket(clock)
        self._limited = False
        self._fetches: dict[asyncio.AbstractEventLoop, _Fetch] = {}
        self._interrupted = False
        self._retired = False
        self._not_before = -math.inf
        self._logged: str | None = None
        self.last_error: str | None = None
        """Why the newest fetch failed, with its URL; None if it ended well."""
        self._location: Location | None = None
        self._located_at = -math.inf
        self._url_in_doubt = False

    def usable(self) -> tuple[KeySet, KeyState] | None:
        """Return the set to use now, or None. Starts a fetch in the background if one is due."""
        now = self._clock()
        if self.cache.attempted and self.cache.is_due(now):
            self._start(bypass_caches=False)
        return self.cache.usable(now)

    def is_overdue(self) -> bool:
        """True if a request must wait for the fetch that is due, because the background does not end it.

        The last fetch was interrupted, or none has ended although the set is past its time.
        """
        now = self._clock()
        if not self.cache.attempted or not self.cache.is_due(now):
            return False
        return self.cache.is_neglected(now) or self._interrupted or any(map(_is_abandoned, self._pending()))

    async def load(self, *, wait: float = MAX_WAIT) -> None:
        """Fetch the set unless a failure puts that off; return when it ended, or after ``wait`` seconds."""
        if self.running() is None and not self.cache.is_due(self._clock()):
            return
        await self.join(self._start(bypass_caches=False), wait)

    async def refresh_for_signature(self) -> bool:
        """Fetch again because a signature under a known key id is bad. True if the set was renewed."""
        if self.cache.age < SETTLED_AFTER:
            return False
        return await self.fetch_again("a bad signature under a known key id") or False

    async def confirm(self, max_age: float) -> bool:
        """True if the issuer confirmed the set within ``max_age`` seconds; fetches again if it did not."""
        if self.cache.age > max_age:
            await self.fetch_again("a route that asks for fresher keys")
        return self.cache.age <= max_age

    async def aclose(self) -> None:
        """Cancel a fetch that is running on this event loop."""
        running = self.running()
        if running is not None:
            running.task.cancel()
            await asyncio.wait({running.task})

    async def retire(self) -> None:
        """Cancel the fetches of every event loop, and never fetch again."""
        self._retired = True
        here = asyncio.get_running_loop()
        for one in self._pending():
            loop = one.task.get_loop()
            if loop is not here:
                with contextlib.suppress(RuntimeError):  # closed meanwhile
                    loop.call_soon_threadsafe(one.task.cancel)
        await self.aclose()

    async def fetch_again(self, reason: str, wait: float = MAX_WAIT) -> bool | None:
        """Fetch, or join a running fetch. True if it ended well, None if a limit forbids it."""
        running, successes = self.running(), self.cache.successes
        if running is None:
            if self._clock() < self._not_before or not self._bucket.take():
                if not self._limited:
                    self._limited = True
                    self._emit("refetch_limited", reason)
                return None
            self._limited = False
            self._emit("keys_refetched", reason)
            running = self._start(bypass_caches=True)
        await self.join(running, wait)
        return running.task.done() and self.cache.successes > successes

    def _pending(self) -> list[_Fetch]:
        """Return the fetches that have not ended, of all event loops; forget the others."""
        for loop, one in list(self._fetches.items()):
            if one.task.done():
                self._fetches.pop(loop, None)
            elif loop.is_closed():  # its task never ends
                self._interrupted = True
                self._fetches.pop(loop, None)
        return list(self._fetches.values())

    def running(self) -> _Fetch | None:
        """Return the fetch of this event loop that has not ended, or None."""
        # A fetch of another loop must not hold up this one: that loop may be gone, or stand still.
        one = self._fetches.get(_running_loop())
        return None if one is None or one.task.done() else one

    def _start(self, *, bypass_caches: bool) -> _Fetch:
        running = self.running()
        if running is None:
            self._pending()
            loop, running = asyncio.get_running_loop(), _Fetch(bypass_caches=bypass_caches)
            running.task = loop.create_task(self._refresh(running))
            self._fetches[loop] = running
        return running

    async def join(self, running: _Fetch, wait: float) -> None:
        """Wait until the fetch has ended, at most so many seconds."""
        running.waited_for = True
        # asyncio.wait leaves the task alone when a waiter is cancelled or has waited long enough.
        await asyncio.wait({running.task}, timeout=wait)

    async def _refresh(self, running: _Fetch) -> None:
        if self._retired:
            return
        with _LoopWatch() as watch:
            try:
                async with asyncio.timeout(TOTAL_TIMEOUT):
                    answer, validator = await self._request(running)
                if not self._retired:  # as another thread may have done meanwhile
                    self._take(answer, validator)
            except asyncio.CancelledError:
                self._interrupted = True
                raise
            except UnusableKeySet as reason:
                self._fail("unusable", FetchError(str(reason)))
            except Exception as error:  # noqa: BLE001 - keys must outlive whatever it is
                failure = error if isinstance(error, FetchError) else failure_of(error, within=TOTAL_TIMEOUT)
                if watch.stood_still and not running.waited_for and failure.status is None:
                    self._interrupted = True  # time passed while nothing ran: not a failure of the issuer
                    return
                self._url_in_doubt = True
                self._fail("failed", failure)

    async def _request(self, running: _Fetch) -> tuple[Answer, Validator | None]:
        """Return the answer, and the validator of the document that it holds or confirms."""
        if not libraries_are_loaded():
            await asyncio.to_thread(load_libraries)
        async with self._origin.client() as client:
            self._location = await self._locate(client, running)
            url, bypass_caches = self._location.url, running.bypass_caches
            etag = None if bypass_caches or self._url_in_doubt else self.cache.etag_of(url)
            answer = await fetch(client, url, etag=etag, bypass_caches=bypass_caches)
        tag = etag if answer.body is None else answer.headers.get("etag")
        return answer, None if tag is None else (url, tag)

    async def _locate(self, client: HttpClient, running: _Fetch) -> Location:
        """Return the place of the set, located anew after a failure, for a key id, and by ``TRUSTED_FOR``.

        A place that the metadata has named gives way to another such place only.
        """
        known, now = self._location, self._clock()
        anew = running.bypass_caches or self._url_in_doubt or now - self._located_at >= TRUSTED_FOR
        if known is not None and not anew:
            return known
        # At once: metadata that hang must not hold up the next refresh, too.
        before, self._located_at = self._located_at, now
        try:
            async with asyncio.timeout(None if known is None else CONNECT_TIMEOUT):
                found = await self._origin.locate(client)
        except asyncio.CancelledError:
            if not running.waited_for:  # of a loop that lives for one call: the next call waits for it
                self._located_at = before
            raise
        except Exception:  # whatever it is: the last known URL may still answer
            if known is None:
                raise
            return known
        # A proxy or a deployment answers 403 or 404 for a moment: that must not lead to another key set.
        withdrawn = known is not None and known.doubt is None and found.doubt is not None
        return known if known is not None and withdrawn else found

    def _take(self, answer: Answer, validator: Validator | None) -> None:
        update = self.cache.take(answer, validator)
        self._url_in_doubt = self._interrupted = False
        self._not_before = -math.inf
        if self.last_error is not None:
            log.info("keys of %s: fetched again", self._origin.issuer)
        self.last_error = self._logged = None
        for kid in update.repeated:
            self._emit("repeated_kid", f"several keys have the id {kid!a}")
        for note in update.skipped:
            log.info("keys of %s: skipped %s", self._origin.issuer, note)
        for note in update.alarms:
            log.error("keys of %s: %s", self._origin.issuer, note)
            self._emit("private_key_published", note)
        self._emit("keys_fetched", update.outcome)

    def _fail(self, outcome: Literal["unusable", "failed"], reason: FetchError) -> None:
        delay = self.cache.fail(outcome, reason.retry_after)
        if reason.url is None:
            reason.at(self._location.url if self._location is not None else self._origin.issuer)
        if reason.retry_after is not None:
            self._not_before = self._clock() + delay
        self._interrupted = False
        self.last_error = str(reason)
        if self._location is not None and self._location.doubt is not None:
            self.last_error = f"{self.last_error}; {self._location.doubt}"
        self._emit("keys_refused" if outcome == "unusable" else "fetch_failed", self.last_error)
        # One line for each cause: an outage of a day must not bury the rest of the log.
        level = logging.DEBUG if self._logged == self.last_error else logging.WARNING
        self._logged = self.last_error
        log.log(
            level,
            "keys of %s: %s; next try in %.1f s; `authkit doctor` checks the issuer",
            self._origin.issuer, self.last_error, delay,
        )  # fmt: skip


class _LoopWatch:
    """Notices that the event loop stood still: blocked, frozen with its process, or between two calls."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.stood_still = False

    def __enter__(self) -> Self:
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._due = self._loop.time() + _TICK
        self._timer = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self.stood_still = self.stood_still or self._loop.time() - self._due > _TICK
        self._wait()


def _is_abandoned(one: _Fetch) -> bool:
    return not one.task.get_loop().is_running()
