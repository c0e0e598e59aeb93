"""The ephemeral store of a single process: a dictionary with an end for every entry and for its size.

No method suspends between reading and writing, which is what makes each atomic on one event loop.
``resources`` refuses this store in production.
"""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict
from collections.abc import Sequence

from authkit_issuer.ephemeral import gcra
from authkit_issuer.ephemeral.gcra import MICRO
from authkit_issuer.errors import EphemeralStoreUnavailable
from authkit_issuer.ports import Clock, EphemeralMode

MAX_ENTRIES = 100_000
_SLACK = 64
"""Outdated notes that are tolerated before the list of ends is rebuilt."""


class MemoryStore:
    """Keeps records until they expire; for one event loop, and gone when the process ends.

    Expired entries are dropped as others are written. When ``max_entries`` live ones stand, a new key is
    refused with ``EphemeralStoreUnavailable``: dropping somebody's code or counter to make room would undo
    what it protects.
    """

    def __init__(self, clock: Clock = time.time, max_entries: int = MAX_ENTRIES) -> None:
        """Start empty; ``clock`` returns Unix seconds."""
        if max_entries < 1:
            raise ValueError("max_entries must be at least 1")
        self._clock = clock
        self._max_entries = max_entries
        self._entries: dict[str, tuple[bytes, float]] = {}
        # When each entry ends, soonest first; overwritten and deleted entries leave outdated notes behind.
        self._ends: list[tuple[float, str]] = []
        # When each limited key is as fresh as new, in microseconds; the least recently used one first.
        self._rates: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        """Return how many entries are held, expired ones that were not dropped yet included."""
        return len(self._entries)

    @property
    def mode(self) -> EphemeralMode:
        """See ``EphemeralStore``."""
        return "memory"

    async def get(self, key: str) -> bytes | None:
        """See ``EphemeralStore``."""
        return self._live(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``EphemeralStore``."""
        return [self._live(key) for key in keys]

    async def set(self, key: str, value: bytes, ttl: float, *, only_if_absent: bool = False) -> bool:
        """See ``EphemeralStore``."""
        check_ttl(ttl)
        if only_if_absent and self._live(key) is not None:
            return False
        self._put(key, bytes(value), self._clock() + ttl)
        return True

    async def delete(self, key: str) -> bool:
        """See ``EphemeralStore``."""
        limited = self._rates.pop(key, None) is not None
        return self._remove(key) is not None or limited

    async def take(self, key: str) -> bytes | None:
        """See ``EphemeralStore``."""
        return self._remove(key)

    async def take_if(self, key: str, expected: bytes) -> bool:
        """See ``EphemeralStore``."""
        if self._live(key) != bytes(expected):
            return False
        del self._entries[key]
        return True

    async def replace_if(self, key: str, expected: bytes, value: bytes, ttl: float) -> bool:
        """See ``EphemeralStore``."""
        check_ttl(ttl)
        if self._live(key) != bytes(expected):
            return False
        self._put(key, bytes(value), self._clock() + ttl)
        return True

    async def incr(self, key: str, ttl: float) -> int:
        """See ``EphemeralStore``."""
        check_ttl(ttl)
        value = self._live(key)
        if value is None:
            self._put(key, b"1", self._clock() + ttl)
            return 1
        if not value.isdigit():
            raise EphemeralStoreUnavailable
        count = int(value) + 1
        self._entries[key] = (b"%d" % count, self._entries[key][1])
        return count

    async def admit(self, key: str, calls: int, window: float) -> tuple[bool, float]:
        """See ``EphemeralStore``.

        These keys have their own space: unauthenticated clients choose them, and must not fill the store.
        When it is full, the least recently used one is forgotten.
        """
        check_ttl(window)
        now, span = int(self._clock() * MICRO), int(window * MICRO)
        admitted, unused_at = gcra.admit(self._rates.get(key, 0), now, calls=calls, span=span)
        if admitted:
            self._rates[key] = unused_at
            self._rates.move_to_end(key)
            if len(self._rates) > self._max_entries:
                self._rates.popitem(last=False)
        return admitted, (unused_at - now) / MICRO

    async def give_back(self, key: str, calls: int, window: float) -> None:
        """See ``EphemeralStore``."""
        check_ttl(window)
        if key in self._rates:
            self._rates[key] -= int(window * MICRO) // calls

    async def ping(self) -> None:
        """See ``EphemeralStore``: memory always answers."""

    async def aclose(self) -> None:
        """See ``EphemeralStore``."""
        self._entries.clear()
        self._ends.clear()
        self._rates.clear()

    def _live(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= self._clock():
            del self._entries[key]
            return None
        return entry[0]

    def _remove(self, key: str) -> bytes | None:
        value = self._live(key)
        if value is not None:
            del self._entries[key]
        return value

    def _put(self, key: str, value: bytes, end: float) -> None:
        self._sweep()
        if key not in self._entries and len(self._entries) >= self._max_entries:
            raise EphemeralStoreUnavailable
        self._entries[key] = (value, end)
        heapq.heappush(self._ends, (end, key))
        if len(self._ends) > 2 * len(self._entries) + _SLACK:
            self._ends = [(end, key) for key, (_, end) in self._entries.items()]
            heapq.heapify(self._ends)

    def _sweep(self) -> None:
        """Drop what has expired: each note is looked at once, so a write pays for about one other."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            entry = self._entries.get(key)
            if entry is not None and entry[1] <= now:
                del self._entries[key]


def check_ttl(ttl: float) -> None:
    """Raise ``ValueError`` unless this is a positive, finite number of seconds."""
    if not 0 < ttl < float("inf"):
        raise ValueError("ttl must be a positive number of seconds")
