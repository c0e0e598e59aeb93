"""Choosing Argon2id parameters for a machine: the most memory that fits the time, never below the floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authkit_issuer.config import MAX_ARGON2_TIME

FLOOR_MEMORY_KIB, FLOOR_PASSES = 19_456, 2
"""OWASP Password Storage Cheat Sheet: the least that Argon2id with one lane should cost."""
MEMORIES_KIB = (FLOOR_MEMORY_KIB, 32_768, 47_104, 65_536)
"""Up to 64 MiB: a hash beyond that runs alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Parameters, and what they mean on this machine."""

    memory_kib: int
    passes: int
    seconds: float
    """How long one hash takes in one thread."""
    threads: int

    @property
    def per_second(self) -> float:
        """How many logins per second the threads can take, at most."""
        return self.threads / self.seconds


def propose(
    measure: Callable[[int, int], float], *, target: float, threads: int, memory_mib: int
) -> Proposal:
    """Return parameters under which one hash takes about ``target`` seconds.

    ``measure(memory_kib, passes)`` returns seconds. As much memory as fits the time and, with every thread
    busy, ``memory_mib`` comes first, then passes. The floor holds even where it takes longer.
    """
    allowed = max(FLOOR_MEMORY_KIB, memory_mib * 1024 // threads)
    best = (FLOOR_MEMORY_KIB, FLOOR_PASSES, measure(FLOOR_MEMORY_KIB, FLOOR_PASSES))
    for memory in MEMORIES_KIB[1:]:
        seconds = measure(memory, FLOOR_PASSES) if memory <= allowed else target + 1
        if seconds > target:
            break
        best = (memory, FLOOR_PASSES, seconds)
    memory, passes, seconds = best
    while passes < MAX_ARGON2_TIME:
        longer = measure(memory, passes + 1)
        if longer > target:
            break
        passes, seconds = passes + 1, longer
    fitting = max(1, min(threads, memory_mib * 1024 // memory))
    return Proposal(memory_kib=memory, passes=passes, seconds=seconds, threads=fitting)
