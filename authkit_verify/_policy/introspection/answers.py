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

from authkit_verify._policy.generations import Generations

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
        most = max(2, max_entries)
        self._active: Generations[bytes, Outcome] = Generations(clock, max_entries=most, max_bytes=_MAX_BYTES)
        self._refused: Generations[bytes, Outcome] = Generations(
            clock, max_entries=most, max_bytes=_MAX_BYTES
        )

    def get(self, key: bytes) -> Outcome | None:
        """Return the answer about a token that still counts, or None."""
        found = self._refused.find(key)
        if found is None or self._clock() >= found.until:
            found = self._active.find(key)
        return found if found is not None and self._clock() < found.until else None

    def put(self, key: bytes, outcome: Outcome) -> None:
        """Remember an answer."""
        if self._clock() >= outcome.until:
            return
        kept, cost = self._refused, _ENTRY
        if isinstance(outcome, Answer) and outcome.claims is not None:
            kept, cost = self._active, _ENTRY + 4 * len(str(outcome.claims))
        kept.make_room(cost)
        kept.keep(key, outcome, cost=cost, ends=outcome.until)

    def clear(self) -> None:
        """Forget every answer."""
        self._active.clear()
        self._refused.clear()
