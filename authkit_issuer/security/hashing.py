"""Password hashes: Argon2id off the event loop, in bounded lanes.

A lane is a thread and stays taken until its hash is done, whether or not the caller still waits: a flood of
clients that hang up must not start more work than the machine has cores. Beyond the queue, or the deadline,
callers get ``ServerBusy`` and nothing was decided.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import argon2
import bcrypt
from argon2.low_level import Type

from authkit_issuer import errors
from authkit_issuer.config import MAX_ARGON2_LANES, MAX_ARGON2_MEMORY_KIB, MAX_ARGON2_TIME, Config

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_BYTES = 1024

MAX_BCRYPT_COST = 16
MIN_SALT_BYTES, MIN_HASH_BYTES = 8, 16
_BCRYPT_BYTES = 72  # what bcrypt looks at; the library refuses more, older ones cut silently
_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
RESET_REQUIRED = "legacy-reset-required"

T = TypeVar("T")


def check_policy(password: str) -> None:
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
    except UnicodeEncodeError as error:
        raise errors.Invalid("The password is not valid text.", param="password") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHash:
    """A hash as it stands in ``user_passwords``."""

    text: str = field(repr=False)
    algo: str

    @property
    def is_bcrypt(self) -> bool:
        """Tell whether it is a bcrypt hash, by its algorithm or, with none named, by its prefix."""
        return self.algo == "bcrypt" or (self.algo == "" and self.text.startswith(_BCRYPT_PREFIXES))


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
        self._target = config.argon2_memory_kib * config.argon2_time
        lanes = config.hash_threads or max(1, (os.cpu_count() or 2) - 1)
        by_memory = config.hash_memory_mib * 1024 // config.argon2_memory_kib
        self.lanes = max(1, min(lanes, by_memory))
        self._free = asyncio.Semaphore(self.lanes)
        self._pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="authkit-hash")
        self._queue_limit = config.hash_queue
        self._deadline = config.hash_deadline
        self.waiting = 0
        self.computed = 0
        """How many hashes were computed; tests count the work of known and unknown accounts with it."""
        self._decoy = self._argon2.hash(os.urandom(16))

    async def hash(self, password: str) -> str:
        """Return the Argon2id string of a password that passes the policy."""
        check_policy(password)
        return await self.rehash(password)

    async def rehash(self, password: str) -> str:
        """Return the Argon2id string of a password that just proved right, whatever the policy says now."""
        return await self._in_lane(lambda: self._argon2.hash(as_bytes(password)))

    async def verify(self, stored: StoredHash | None, password: str) -> Verdict:
        """Compare; with nothing stored do the same amount of work and answer no."""
        if stored is None or stored.algo == RESET_REQUIRED or not acceptable(stored):
            await self._in_lane(lambda: self._check_argon2(self._decoy, password))
            return Verdict(fits=False)
        if stored.is_bcrypt:
            fits = await self._in_lane(lambda: _check_bcrypt(stored.text, password))
            return Verdict(fits=fits, needs_rehash=fits)
        fits = await self._in_lane(lambda: self._check_argon2(stored.text, password))
        return Verdict(fits=fits, needs_rehash=fits and _work(stored.text) < self._target)

    def _check_argon2(self, text: str, password: str) -> bool:
        try:
            return self._argon2.verify(text, password.encode("utf-8", "surrogatepass"))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    async def _in_lane(self, work: Callable[[], T]) -> T:
        if self._free.locked() and self.waiting >= self._queue_limit:
            raise errors.ServerBusy(retry_after=self._deadline)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._deadline):
                await self._free.acquire()
        except TimeoutError as error:
            raise errors.ServerBusy(retry_after=self._deadline) from error
        finally:
            self.waiting -= 1
        self.computed += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        running.add_done_callback(lambda _: self._free.release())
        # Shielded: cancelling the caller must not free the lane while its thread still burns.
        return await asyncio.shield(running)

    def close(self) -> None:
        """Let the threads go; work that has started is finished."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def acceptable(stored: StoredHash) -> bool:
    """Tell whether a stored hash can be read and asks for a sane amount of work."""
    if stored.is_bcrypt:
        parts = stored.text.split("$")
        return len(parts) == 4 and parts[2].isdigit() and int(parts[2]) <= MAX_BCRYPT_COST
    try:
        found = argon2.extract_parameters(stored.text)
    except argon2.exceptions.InvalidHashError:
        return False
    return (
        found.type is Type.ID
        and 1 <= found.parallelism <= MAX_ARGON2_LANES
        and 8 * found.parallelism <= found.memory_cost <= MAX_ARGON2_MEMORY_KIB
        and 1 <= found.time_cost <= MAX_ARGON2_TIME
        and found.salt_len >= MIN_SALT_BYTES
        and found.hash_len >= MIN_HASH_BYTES
    )


def _work(text: str) -> int:
    found = argon2.extract_parameters(text)
    return found.memory_cost * found.time_cost


def _check_bcrypt(text: str, password: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES], text.encode())
    except ValueError:
        return False
