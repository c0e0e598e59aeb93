"""The key set of one issuer: fresh, then stale through an outage, never lost to a bad answer.

State only: it takes answers and failures, and knows which keys may be used. It makes no request and needs no
event loop: ``refresher`` decides when to fetch, ``unknown_kid`` for an unknown key id. A set is replaced only
by a set with a usable key. Event loops in several threads may share it: every change is made under
``changing`` and counted last, in ``fetches``. ``cache_lifetime`` says for how long a set is fresh, and for
how long it is used in an outage.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Literal

import msgspec
from cachetools import TTLCache

from authkit_verify._jose.jwk import Reading, UnusableDocument, read_jwks
from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._jwks.cache_lifetime import CacheLifetime, cache_lifetime
from authkit_verify._jwks.fetch import Answer
from authkit_verify._jwks.fetch_limits import (
    MAX_BACKOFF,
    NEGATIVE_SIZE,
    NEGATIVE_TTL,
    TRUSTED_FOR,
    backoff,
    system_random,
)

changing = threading.Lock()
"""Held for the moment of a change to what threads share, such as a key set; never while anything waits."""
if hasattr(os, "register_at_fork"):  # a child must not inherit the lock from a thread that it does not have
    os.register_at_fork(
        before=changing.acquire, after_in_parent=changing.release, after_in_child=changing.release
    )

Clock = Callable[[], float]
"""Returns seconds."""
Validator = tuple[str, str]
"""The URL of a document and its ETag."""


class UnusableKeySet(Exception):
    """The issuer answered, and its document held no usable key; the message says why."""


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer changed. The notes are sentences; each is listed only when its list is new.

    ``repeated`` are the key ids that several keys of a new set share.
    """

    outcome: Literal["new keys", "the same keys", "not modified"]
    repeated: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()


class KeySetCache:
    """The key set of one issuer and how long it may be used.

    ``clock`` returns seconds and never goes back. ``cache_ttl`` and ``max_stale`` come from
    ``IssuerAccept`` (seconds). ``random_unit`` returns a number between 0 and 1.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        cache_ttl: float,
        max_stale: float,
        random_unit: Callable[[], float] = system_random,
    ) -> None:
        self._clock = clock
        self._cache_ttl = cache_ttl
        self._max_stale = max_stale
        self._random = random_unit
        self._absent: TTLCache[str, None] = TTLCache(NEGATIVE_SIZE, NEGATIVE_TTL, timer=clock)
        self._keys: KeySet | None = None
        self.validator: Validator | None = None
        """That of the document which holds these keys."""
        self._skipped: tuple[str, ...] = ()
        self._alarms: tuple[str, ...] = ()
        self._fetched_at = self._read_at = -math.inf
        self._lifetime = CacheLifetime(0.0, 0.0)
        self._refresh_at = -math.inf
        self._last: Literal["none", "good", "unusable", "failed"] = "none"
        self.failures = 0
        """Fetches that failed in a row."""
        self.fetches = 0
        """Fetches that ended, well or not. While this is unchanged, only time changes the usable keys."""
        self.successes = 0
        """Fetches that ended well."""

    @property
    def attempted(self) -> bool:
        """True if any fetch has ended."""
        return self._last != "none"

    @property
    def age(self) -> float:
        """Seconds since the issuer confirmed the set; infinite before the first time."""
        return self._clock() - self._fetched_at

    def etag_of(self, url: str) -> str | None:
        """Return the ETag by which the issuer may confirm the document of this URL; None to read it anew."""
        known, etag = self.validator or (None, None)
        return etag if known == url and self._clock() - self._read_at < TRUSTED_FOR else None

    @property
    def refresh_in(self) -> float:
        """Seconds until the next fetch is due; 0 if it is due now."""
        return max(0.0, self._refresh_at - self._clock())

    def is_due(self, now: float) -> bool:
        """True if a fetch is due at this moment; a failure puts the next one off."""
        return now >= self._refresh_at

    def is_neglected(self, now: float) -> bool:
        """True if the set is past its time, and no fetch has ended since one was due."""
        return self._last == "good" and now >= self._fetched_at + self._lifetime.fresh

    def usable(self, now: float) -> tuple[KeySet, KeyState] | None:
        """Return the set that may be used at this moment and its state, or None."""
        age = now - self._fetched_at
        if self._keys is None or age >= self._lifetime.fresh + self._lifetime.stale:
            return None
        if self._last == "unusable":
            return self._keys, KeyState(source="last_known_good", age=age)
        return self._keys, KeyState(source="fresh" if age < self._lifetime.fresh else "stale", age=age)

    def unchanged_until(self) -> float:
        """Return when time alone next makes a fetch due or changes the answer of ``usable``."""
        stale_from = self._fetched_at + self._lifetime.fresh
        is_fresh = self._clock() < stale_from
        return min(self._refresh_at, stale_from if is_fresh else stale_from + self._lifetime.stale)

    def has(self, kid: str) -> bool:
        """True if the set has a key of this id, usable at this moment or not."""
        return self._keys is not None and self._keys.has(kid)

    def is_absent(self, kid: str) -> bool:
        """True if a fetch within the last ``NEGATIVE_TTL`` seconds did not bring this key id."""
        return kid in self._absent

    def mark_absent(self, kid: str) -> None:
        """Remember that a fetch did not bring this key id, until the next fetch or ``NEGATIVE_TTL``."""
        with changing:
            self._absent[kid] = None

    def take(self, answer: Answer, validator: Validator | None = None) -> Update:
        """Take an answer of the issuer and return what it changed.

        ``validator`` belongs to the document that the answer holds, or confirms (304): one that is not in use
        any more, because an answer on another event loop replaced it, confirms nothing.

        Raises UnusableKeySet, and changes nothing, if its document holds no usable key.
        """
        reading = None if answer.body is None else _read(answer.body)
        lifetime = cache_lifetime(answer.headers, cache_ttl=self._cache_ttl, max_stale=self._max_stale)
        now, jitter = self._clock(), self._random()
        with changing:
            if reading is None and validator != self.validator:
                return Update(outcome="not modified")
            update = Update(outcome="not modified") if reading is None else self._replace(reading)
            self.validator = validator
            self._absent.clear()
            self._fetched_at = now
            if reading is not None:
                self._read_at = now
            if reading is not None or "cache-control" in answer.headers:  # a 304 may leave it out
                self._lifetime = lifetime
            # At 80 %, give or take a tenth of that, so that workers started together drift apart.
            self._refresh_at = now + self._lifetime.fresh * (0.72 + 0.16 * jitter)
            self._last, self.failures = "good", 0
            self.successes += 1
            self.fetches += 1
        return update

    def fail(self, outcome: Literal["unusable", "failed"], retry_after: float | None = None) -> float:
        """Count a failed fetch and return the seconds until the next one is due.

        ``retry_after`` is the least wait that the issuer asks for; at most ``MAX_BACKOFF`` of it is kept.
        """
        now, failures = self._clock(), self.failures + 1
        delay = max(backoff(failures, self._random), min(retry_after or 0.0, MAX_BACKOFF))
        with changing:
            self.failures = failures
            self._last = outcome
            self._refresh_at = now + delay
            self.fetches += 1
        return delay

    def _replace(self, reading: Reading) -> Update:
        changed = self._keys is None or self._keys.digest != reading.keys.digest
        update = Update(
            outcome="new keys" if changed else "the same keys",
            repeated=reading.keys.repeated if changed else (),
            skipped=reading.skipped if reading.skipped != self._skipped else (),
            alarms=reading.alarms if reading.alarms != self._alarms else (),
        )
        if changed:  # the same keys stay the same object, and the tokens verified with them stay cached
            self._keys = reading.keys
        self._skipped, self._alarms = reading.skipped, reading.alarms
        return update


def _read(document: bytes) -> Reading:
    """Return the usable keys of a document, at least one. Raises UnusableKeySet."""
    try:
        reading = read_jwks(document)
    except UnusableDocument as error:
        raise UnusableKeySet(str(error)) from None
    if not len(reading.keys):
        raise UnusableKeySet("the key set holds no usable key")
    return reading
