"""Password hashing: Argon2id for new hashes, and the imported algorithms for old ones.

In place of a stored hash, ``verify`` takes the cost of a dummy hash, which ``dummy_hashes`` draws.
``stored_hashes`` compares, ``foreign_hashes`` reads the hashes of other programs, ``hashing_pool`` limits the
work at once, and ``Config`` has the parameters of Argon2id.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import argon2
from argon2.low_level import Type

from authkit_issuer.config import Config
from authkit_issuer.security.dummy_hashes import DummyHashes
from authkit_issuer.security.hashing_pool import HashingLoad, HashingPool
from authkit_issuer.security.password_length import as_bytes, check_length, normalized
from authkit_issuer.security.stored_hashes import (
    RESET_REQUIRED,
    Cost,
    StoredHash,
    acceptable,
    compare,
    cost_of,
    is_unambiguous,
    spend,
)

__all__ = [
    "RESET_REQUIRED",
    "Cost",
    "HashingLoad",
    "PasswordHasher",
    "StoredHash",
    "Verdict",
    "acceptable",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """True ``fits`` if the password is right; ``needs_rehash`` if a new hash of it is better.

    A better one costs more work, or is of the NFC form. A hash that other texts fit as well is kept.
    """

    fits: bool
    needs_rehash: bool = False


class PasswordHasher:
    """Hashes and verifies passwords in the hashing pool of this process."""

    def __init__(self, config: Config) -> None:
        """Size the pool from the configuration, else from the cores."""
        self._argon2 = argon2.PasswordHasher(
            time_cost=config.argon2_time,
            memory_cost=config.argon2_memory_kib,
            parallelism=config.argon2_lanes,
            type=Type.ID,
        )
        self.target = Cost(
            algo="argon2id",
            memory_kib=config.argon2_memory_kib,
            passes=config.argon2_time,
            lanes=config.argon2_lanes,
        )
        """What a new hash costs."""
        self.dummy_hashes = DummyHashes(self.target)
        threads = config.hash_threads or default_threads(usable_cores())
        by_memory = config.hash_memory_mib * 1024 // config.argon2_memory_kib
        self._pool = HashingPool(
            count=max(1, min(threads, by_memory)),
            memory_kib=config.hash_memory_mib * 1024,
            queue=config.hash_queue,
            deadline=config.hash_deadline,
        )
        self.spent = 0
        """The work of all comparisons and hashes so far, in KiB times passes."""

    @property
    def load(self) -> HashingLoad:
        """How busy the hashing threads are."""
        return self._pool.load

    @property
    def computed(self) -> int:
        """How many hashes were computed, dummy hashes included."""
        return self._pool.load.computed

    async def hash(self, password: str, *, client: str = "") -> str:
        """Return the Argon2id string of a password; raises as ``check_length``."""
        check_length(password)
        return await self.rehash(password, client=client)

    async def rehash(self, password: str, *, client: str = "", known: bool = False) -> str:
        """Return the Argon2id string of a password that was just verified, whatever its length."""
        secret = as_bytes(normalized(password))
        return await self._run(lambda: self._argon2.hash(secret), self.target, client=client, known=known)

    async def verify(
        self,
        against: StoredHash | Cost,
        password: str,
        *,
        client: str = "",
        known: bool = False,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> Verdict:
        """Compare a password with a stored hash: its NFC form, then as typed for hashes made before.

        Args:
            against: The hash. With the cost of a dummy hash, its work is done and the password does not fit;
                a hash that cannot be read costs as much as a new one.
            password: What was typed.
            client: As for ``HashingPool.run``.
            known: As for ``HashingPool.run``.
            before: As for ``HashingPool.run``.
        """
        cost = against if isinstance(against, Cost) else cost_of(against)
        spellings = tuple(dict.fromkeys((normalized(password), password)))
        if isinstance(against, Cost) or cost is None:
            work = cost or self.target

            def spend_all() -> None:
                for text in spellings:
                    spend(work, text)

            await self._run(spend_all, work, client=client, known=known, before=before)
            return Verdict(fits=False)

        def first_fit() -> str | None:
            return next((text for text in spellings if compare(against, text)), None)

        fit = await self._run(first_fit, cost, client=client, known=known, before=before)
        if fit is None:
            return Verdict(fits=False)
        # Only a hash of less work is replaced: an imported one that costs more in another way stays.
        weaker = cost.algo != self.target.algo or cost.work < self.target.work
        better = weaker or fit != spellings[0]
        return Verdict(fits=True, needs_rehash=better and is_unambiguous(against, fit))

    async def _run(
        self,
        work: Callable[[], T],
        cost: Cost,
        *,
        client: str,
        known: bool = False,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        async def admitted() -> None:
            if before is not None:
                await before()
            self.spent += cost.work

        return await self._pool.run(
            work, memory_kib=cost.memory_kib, client=client, known=known, before=admitted
        )

    def close(self) -> None:
        """Shut the threads down; work that has started is finished."""
        self._pool.close()


def usable_cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 2


def default_threads(cores: int) -> int:
    """How many hashing threads suit a number of cores: one core stays free for everything else."""
    return max(1, cores - 1)
