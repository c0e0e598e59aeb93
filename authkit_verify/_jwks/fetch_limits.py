"""Limits on fetches: a token bucket for those that requests cause, a backoff after failures.

A token with an unknown key id, a bad signature or a route that asks for fresher keys causes a fetch only if
the issuer's bucket has one left. A key id that a fetch did not bring causes no other one for a while.
"""

from __future__ import annotations

import random
from collections.abc import Callable

BURST = 2
"""Fetches at once: one, and one in reserve so that a rotation right after it is still seen."""
REFILL = 30.0
"""Seconds until one more fetch is allowed."""
TRUSTED_FOR = 3600.0
"""Seconds in which metadata are not read again, and an ETag may confirm a key set. One forged answer would
else count without end: a URL of the attacker, or her keys with the ETag of the real ones."""
NEGATIVE_TTL = 30.0
"""Seconds a key id counts as absent after a fetch did not bring it; no token with it causes a fetch."""
NEGATIVE_SIZE = 512
"""Key ids of an issuer that are remembered as absent."""
SETTLED_AFTER = 60.0
"""Seconds; a bad signature under a known key id causes a fetch only if the set is older than this."""
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
