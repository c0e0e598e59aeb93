"""Limits on fetches: a token bucket for those that requests cause, a backoff after failures."""

from __future__ import annotations

import random
from collections.abc import Callable

BURST = 2
"""Fetches at once: one, and one in reserve so that a rotation right after it is still seen."""
REFILL = 30.0
"""Seconds until one more fetch is allowed."""
MAX_BACKOFF = 60.0
"""Seconds; the longest wait after failures."""
MIN_BACKOFF = 0.5
"""Seconds; the shortest wait after a failure."""

# Not for secrecy: forked workers do not share the state of the system's generator, and do not retry in step.
system_random = random.SystemRandom().random


class TokenBucket:
    """Allows ``BURST`` actions at once and one more every ``REFILL`` seconds of the given clock."""

    __slots__ = ("_clock", "_level", "_since")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._level = float(BURST)
        self._since = clock()

    def take(self) -> bool:
        """True if the action is allowed now; it is then counted."""
        now = self._clock()
        gained = max(0.0, now - self._since) / REFILL
        self._level = min(float(BURST), self._level + gained)
        self._since = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


def backoff(failures: int, random_unit: Callable[[], float]) -> float:
    """Return the seconds to wait after this many failures in a row: up to 1, 2, 4 .. 60, at random."""
    return max(MIN_BACKOFF, random_unit() * min(MAX_BACKOFF, 2.0 ** min(failures - 1, 6)))
