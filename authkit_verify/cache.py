"""Remember verified tokens, so that a token seen before costs a look-up instead of a signature.

Only genuine tokens get in, under their one spelling, so strangers cannot fill it. An entry counts only while
the very key set that admitted it still answers, and while the token's times allow.
"""

from __future__ import annotations

from typing import NamedTuple

from authkit_verify.claims import Claims
from authkit_verify.keys import KeySet
from authkit_verify.sources import IssuerKeys

_OVERHEAD = 600  # bytes of an entry that do not depend on the token's length, roughly


class Entry(NamedTuple):
    """A verified token: its claims, the keys that admitted it, and the Unix times it holds between."""

    claims: Claims
    source: IssuerKeys
    keys: KeySet
    starts: float
    ends: float


class TokenCache:
    """At most ``max_entries`` tokens and about ``max_bytes`` bytes, in two generations.

    New tokens go to the young generation. When that is half of everything, the old one is dropped and the
    young one grows old: nothing is written on a hit, and an expired token is gone after two turns.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_entries", "_old", "_young")

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries // 2
        self._max_bytes = max_bytes // 2
        self._young: dict[str, Entry] = {}
        self._old: dict[str, Entry] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, token: str, now: float) -> Entry | None:
        """Return the entry of a token that may still be accepted, or None."""
        entry = self._young.get(token) or self._old.get(token)
        if entry is None or not entry.starts <= now < entry.ends:
            return None
        # The same object: a set is another one as soon as any key of it changes (see ``answering``).
        return entry if entry.source.answering() is entry.keys else None

    def put(self, token: str, entry: Entry) -> None:
        """Remember a token that was verified this moment."""
        cost = 2 * len(token) + _OVERHEAD
        if cost > self._max_bytes or not self._max_entries:
            return
        if len(self._young) >= self._max_entries or self._bytes + cost > self._max_bytes:
            self._old, self._young, self._bytes = self._young, {}, 0
        if token not in self._young:
            self._bytes += cost
        self._young[token] = entry
