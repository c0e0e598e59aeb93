"""Statements that wait for a lock: those for one row leave connections to the others.

A transaction that holds a row for long, such as one that an operator left open, would otherwise stop every
caller of that row, and with them every connection of the pool.
"""

from __future__ import annotations

import math
import time

from authkit_issuer import errors

PATIENCE = 0.5
"""Seconds without a result after which the statements of one key count as waiting for a lock."""
_ID_LENGTH = 36
"""Characters of a UUID. Many rows share other first arguments, such as the issuer."""


class _Key:
    __slots__ = ("running", "since")

    def __init__(self, since: float) -> None:
        self.running = 1
        self.since = since


class LockWaits:
    """The statements that run on the connections of one pool, by the id that is their first argument."""

    def __init__(self, most: int) -> None:
        """Let ``most`` connections wait for locks; more only for a key of which none waits."""
        self.answered_at = -math.inf
        """When the server answered the last statement, on the monotonic clock."""
        self._most = most
        self._keys: dict[str, _Key] = {}

    def enter(self, args: tuple[object, ...]) -> str:
        """Count a statement that begins, and return its key.

        Raises:
            DatabaseUnavailable: Statements of the same key wait for a lock on half of the connections.
        """
        key = args[0] if args else ""
        if not isinstance(key, str) or len(key) != _ID_LENGTH:
            return ""
        now = time.monotonic()
        found = self._keys.get(key)
        if found is None:
            self._keys[key] = _Key(now)
            return key
        if now - found.since > PATIENCE and self._waiting(now) >= self._most:
            raise errors.DatabaseUnavailable().because(
                "PostgreSQL: others hold the lock of this row, for which many wait already"
            )
        found.running += 1
        return key

    def leave(self, key: str, *, moved: bool) -> None:
        """Count a statement that ended; ``moved`` if it was not given up while it waited."""
        if moved:
            self.answered_at = time.monotonic()
        if not key:
            return
        found = self._keys[key]
        found.running -= 1
        if not found.running:
            del self._keys[key]
        elif moved:
            found.since = self.answered_at

    def _waiting(self, now: float) -> int:
        return sum(found.running for found in self._keys.values() if now - found.since > PATIENCE)
