"""Which DPoP proofs were used: each is accepted once (RFC 9449, 11.1).

A cache never evicts a proof that could be used again: one that is full, or whose server does not answer,
refuses new proofs with ``replay_check_unavailable``. ``dpop_proof`` makes the keys and refuses repeated ones.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Any, Protocol

from authkit_verify._jwks.key_set_cache import changing

MAX_PROOFS = 500_000
_PURGED = 64  # expired proofs removed by one call: no request pays for a whole burst


class ReplayCache(Protocol):
    """Remembers used proofs. A host may bring its own, for instance on a shared database."""

    async def first_use(self, key: str, ttl: float) -> bool:
        """Remember ``key`` for ``ttl`` seconds; False if it is remembered already.

        Of any number of concurrent calls with one key, exactly one returns True. Any exception refuses the
        proof: the client receives 503, and may try again with another one.
        """
        ...


class ReplayCacheFull(Exception):
    """The cache holds as many proofs as it may, and each could be used again."""


class MemoryReplayCache:
    """Remembers used proofs in this process. Each worker process accepts a proof once.

    Args:
        max_proofs: The most proofs to remember, of about 250 bytes each; a full cache refuses new ones.
            Default 500000: with the default ``max_age``, 1500 proofs a second for as long as that takes.
        clock: Returns seconds and never goes back. Default ``time.monotonic``.
    """

    def __init__(self, *, max_proofs: int = MAX_PROOFS, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_proofs = max_proofs
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._ends)

    async def first_use(self, key: str, ttl: float) -> bool:
        """Remember ``key`` for ``ttl`` seconds; False if it is remembered. Raises ReplayCacheFull."""
        with changing:  # event loops of several threads may share a verifier
            now = self._clock()
            self._purge(now)
            if self._ends.get(key, now) > now:
                return False
            if len(self._ends) >= self._max_proofs:
                raise ReplayCacheFull(f"{self._max_proofs} used proofs are remembered, and none has expired")
            self._ends[key] = now + ttl
            heapq.heappush(self._order, (now + ttl, key))
            return True

    def _purge(self, now: float) -> None:
        for _ in range(_PURGED):
            if not self._order or self._order[0][0] > now:
                return
            ends, key = heapq.heappop(self._order)
            if self._ends.get(key) == ends:  # not remembered again since
                del self._ends[key]


class RedisReplayCache:
    """Remembers used proofs in Redis, for all processes and machines: each proof is accepted once.

    The server must not evict keys (``maxmemory-policy noeviction``): an evicted proof can be used again.

    Args:
        client: A ``redis.asyncio.Redis``, or a client with the same ``set``. The host closes it.
        prefix: The start of each key. Default ``authkit:dpop:``.
    """

    def __init__(self, client: Any, *, prefix: str = "authkit:dpop:") -> None:
        self._client = client
        self._prefix = prefix

    async def first_use(self, key: str, ttl: float) -> bool:
        """Remember ``key`` for ``ttl`` seconds; False if it is remembered. Raises what the client raises."""
        # One statement, so that of two processes one wins.
        done = await self._client.set(self._prefix + key, b"1", nx=True, px=max(1, int(ttl * 1000)))
        return done is True
