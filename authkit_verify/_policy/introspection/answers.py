"""The answers of an issuer about tokens, each for as long as it counts.

Tokens are known by their digest. Looking up writes nothing and adding replaces whole entries, so event loops
in several threads may share the answers. ``introspector`` sets the end of each by
``Introspection.max_ttl``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

_MAX_BYTES = 32 * 1024 * 1024
_ENTRY = 400  # bytes in memory beside the claims, roughly


class Answer(msgspec.Struct, frozen=True):
    """What the issuer said about a token: its claims, or None for an inactive one.

    ``asked_at`` and ``until`` are seconds of the clock of ages; an answer counts before ``until``.
    """

    claims: dict[str, Any] | None
    asked_at: float
    until: float


class Failure(msgspec.Struct, frozen=True):
    """A request that brought no answer about a token: the next one is at ``until`` at the earliest."""

    until: float


Outcome = Answer | Failure


def digest(token: str) -> bytes:
    """Return the name under which a token is remembered."""
    return hashlib.sha256(token.encode()).digest()


class Answers:
    """At most ``max_entries`` active tokens and as many inactive ones, each in two generations.

    Inactive ones apart: unauthenticated requests can make any number of them.
    """

    def __init__(self, clock: Callable[[], float], max_entries: int) -> None:
        self._clock = clock
        self._active = _Generations(clock, max_entries, _MAX_BYTES)
        self._refused = _Generations(clock, max_entries, _MAX_BYTES)

    def get(self, key: bytes) -> Outcome | None:
        """Return the answer about a token that still counts, or None."""
        found = self._refused.get(key)
        if found is None or self._clock() >= found.until:
            found = self._active.get(key)
        return found if found is not None and self._clock() < found.until else None

    def put(self, key: bytes, outcome: Outcome) -> None:
        """Remember an answer."""
        if self._clock() >= outcome.until:
            return
        if isinstance(outcome, Answer) and outcome.claims is not None:
            self._active.put(key, outcome, _ENTRY + 4 * len(str(outcome.claims)))
        else:
            self._refused.put(key, outcome, _ENTRY)

    def clear(self) -> None:
        """Forget every answer."""
        self._active.clear()
        self._refused.clear()


class _Generations:
    """New entries enter the young generation.

    It replaces the old one at half of the limit, or when nothing in the old one counts any more.
    """

    def __init__(self, clock: Callable[[], float], max_entries: int, max_bytes: int) -> None:
        self._clock = clock
        self._max_entries = max(1, max_entries // 2)
        self._max_bytes = max_bytes // 2
        self._young: dict[bytes, Outcome] = {}
        self._old: dict[bytes, Outcome] = {}
        self._young_until = self._old_until = 0.0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: bytes) -> Outcome | None:
        return self._young.get(key) or self._old.get(key)

    def put(self, key: bytes, outcome: Outcome, cost: int) -> None:
        full = len(self._young) >= self._max_entries or self._bytes + cost > self._max_bytes
        if full or self._clock() >= self._old_until:
            self._old, self._young, self._bytes = self._young, {}, 0
            self._old_until, self._young_until = self._young_until, 0.0
        self._bytes += cost
        self._young[key] = outcome
        self._young_until = max(self._young_until, outcome.until)

    def clear(self) -> None:
        self._old, self._young, self._bytes = {}, {}, 0
