"""A bounded cache in two generations, whose memory grows with what lives, not with all that ever came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Generations(Generic[Key, Value]):
    """At most ``max_entries`` entries and about ``max_bytes`` bytes.

    New entries enter the young generation. It replaces the old one when it has half of the limit, or when
    every entry of the old one has ended: a look writes nothing.
    """

    __slots__ = (
        "_bytes", "_clock", "_max_bytes", "_max_entries", "_old", "_old_ends", "_young", "_young_ends",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], float], *, max_entries: int, max_bytes: int) -> None:
        self._clock = clock
        self._max_entries = max_entries // 2
        self._max_bytes = max_bytes // 2
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._young_ends = self._old_ends = 0.0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, key: Key) -> Value | None:
        """Return an entry, which may have ended, or None."""
        return self._young.get(key) or self._old.get(key)

    def make_room(self, cost: int) -> None:
        """Let the young generation replace the old one if an entry of so many bytes needs that."""
        full = len(self._young) >= self._max_entries or self._bytes + cost > self._max_bytes
        if full or self._clock() >= self._old_ends:
            self._old, self._young, self._bytes = self._young, {}, 0
            self._old_ends, self._young_ends = self._young_ends, 0.0

    def keep(self, key: Key, value: Value, *, cost: int, ends: float) -> None:
        """Keep an entry, for which there is room, until ``ends`` on the clock of the cache."""
        self._bytes += cost
        self._young[key] = value
        self._young_ends = max(self._young_ends, ends)

    def clear(self) -> None:
        """Forget every entry."""
        self._old, self._young, self._bytes = {}, {}, 0
