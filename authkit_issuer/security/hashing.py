"""Password hashing: Argon2id for new hashes, what was imported for old ones, in the lanes of this process."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import argon2
from argon2.low_level import Type

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.security.dummy_hashes import DummyHashes
from authkit_issuer.security.hashing_pool import HashingLoad, HashingPool
from authkit_issuer.security.stored_hashes import (
    RESET_REQUIRED,
    Cost,
    StoredHash,
    acceptable,
    compare,
    cost_of,
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
    "as_bytes",
    "check_length",
]

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_BYTES = 1024

T = TypeVar("T")


def check_length(password: str) -> None:
    """Raise ``PasswordTooShort`` or ``PasswordTooLong``; 8 code points to 1024 UTF-8 bytes, never trimmed.

    Text that has no UTF-8 form is refused as malformed.
    """
    if len(password) < MIN_PASSWORD_CHARS:
        raise errors.PasswordTooShort(param="password")
    if len(as_bytes(password)) > MAX_PASSWORD_BYTES:
        raise errors.PasswordTooLong(param="password")


def as_bytes(password: str) -> bytes:
    """Return the UTF-8 bytes, or raise ``Invalid`` for lone surrogates."""
    try:
        return password.encode("utf-8")
    except UnicodeEncodeError:
        # Not chained: the error holds the password.
        raise errors.Invalid("The password is not valid text.", param="password") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the password fits, and whether its hash should be replaced by a stronger one."""

    fits: bool
    needs_rehash: bool = False


class PasswordHasher:
    """Hashes and verifies within the lanes of this process."""

    def __init__(self, config: Config) -> None:
        """Size the lanes from the configuration, else from the cores."""
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
        self.decoys = DummyHashes(self.target)
        lanes = config.hash_threads or default_lanes(usable_cores())
        by_memory = config.hash_memory_mib * 1024 // config.argon2_memory_kib
        self._lanes = HashingPool(
            count=max(1, min(lanes, by_memory)),
            memory_kib=config.hash_memory_mib * 1024,
            queue=config.hash_queue,
            deadline=config.hash_deadline,
        )
        self.spent = 0
        """The work of all comparisons and hashes so far, in KiB times passes."""

    @property
    def load(self) -> HashingLoad:
        """How busy the lanes are."""
        return self._lanes.load

    @property
    def computed(self) -> int:
        """How many hashes were computed, decoys included."""
        return self._lanes.load.computed

    async def hash(self, password: str, *, client: str = "") -> str:
        """Return the Argon2id string of a password of an allowed length."""
        check_length(password)
        return await self.rehash(password, client=client)

    async def rehash(self, password: str, *, client: str = "", known: bool = False) -> str:
        """Return the Argon2id string of a password that just proved right, whatever the rules say now."""
        secret = as_bytes(password)
        return await self._run(lambda: self._argon2.hash(secret), self.target, client=client, known=known)

    async def verify(
        self,
        stored: StoredHash | None,
        password: str,
        *,
        decoy: Cost | None = None,
        client: str = "",
        known: bool = False,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> Verdict:
        """Compare; with nothing to compare with do the work of ``decoy`` and answer no.

        ``client``, ``known`` and ``before`` are those of ``HashingPool.run``.
        """
        cost = None if stored is None else cost_of(stored)
        if stored is None or cost is None:
            instead = decoy or self.target
            await self._run(
                lambda: spend(instead, password), instead, client=client, known=known, before=before
            )
            return Verdict(fits=False)
        fits = await self._run(
            lambda: compare(stored, password), cost, client=client, known=known, before=before
        )
        # Less work than a new hash only: one from elsewhere that is dearer in another way stays as it is.
        weaker = cost.algo != self.target.algo or cost.work < self.target.work
        return Verdict(fits=fits, needs_rehash=fits and weaker)

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

        return await self._lanes.run(
            work, memory_kib=cost.memory_kib, client=client, known=known, before=admitted
        )

    def close(self) -> None:
        """Let the threads go; work that has started is finished."""
        self._lanes.close()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 2


def default_lanes(cores: int) -> int:
    """Return the lanes for a number of cores: one core is left to everything that is not a login."""
    return max(1, cores - 1)
