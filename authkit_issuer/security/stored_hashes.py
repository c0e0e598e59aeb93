"""Stored password hashes: their parameters, their cost, and the comparison.

A hash comes from a table that may have been imported: its parameters are read and capped before anything is
computed with them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import argon2
import bcrypt
from argon2.low_level import Type, hash_secret_raw

from authkit_issuer.config import MAX_ARGON2_LANES, MAX_ARGON2_MEMORY_KIB, MAX_ARGON2_TIME

MIN_BCRYPT_COST, MAX_BCRYPT_COST = 4, 16
MIN_SALT_BYTES, MIN_HASH_BYTES = 8, 16
BCRYPT_MEMORY_KIB = 4
_BCRYPT_BYTES = 72  # what bcrypt looks at; the library refuses more, older ones cut silently
_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
RESET_REQUIRED = "legacy-reset-required"

_verifier = argon2.PasswordHasher()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHash:
    """A hash as stored in ``user_passwords``."""

    text: str = field(repr=False)
    algo: str

    @property
    def is_bcrypt(self) -> bool:
        """True for a bcrypt hash, by its algorithm or, if none is named, by its prefix."""
        return self.algo == "bcrypt" or (self.algo == "" and self.text.startswith(_BCRYPT_PREFIXES))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cost:
    """The cost of one comparison. For bcrypt ``passes`` is 2 to the power of its cost factor."""

    algo: str
    memory_kib: int
    passes: int
    lanes: int = 1

    @property
    def work(self) -> int:
        """Memory times passes, in KiB: comparable within one algorithm."""
        return self.memory_kib * self.passes


def cost_of(stored: StoredHash) -> Cost | None:
    """The cost of comparing with a hash; None if it is unreadable or too expensive."""
    if stored.algo == RESET_REQUIRED:
        return None
    if stored.is_bcrypt:
        return _bcrypt_cost(stored.text)
    if stored.algo != "argon2id":
        return None
    try:
        found = argon2.extract_parameters(stored.text)
    except (argon2.exceptions.InvalidHashError, ValueError):
        return None
    sane = (
        found.type is Type.ID
        and 1 <= found.parallelism <= MAX_ARGON2_LANES
        and 8 * found.parallelism <= found.memory_cost <= MAX_ARGON2_MEMORY_KIB
        and 1 <= found.time_cost <= MAX_ARGON2_TIME
        and found.salt_len >= MIN_SALT_BYTES
        and found.hash_len >= MIN_HASH_BYTES
    )
    if not sane:
        return None
    return Cost(
        algo="argon2id", memory_kib=found.memory_cost, passes=found.time_cost, lanes=found.parallelism
    )


def acceptable(stored: StoredHash) -> bool:
    """True if a stored hash can be read and its cost is within the limits."""
    return cost_of(stored) is not None


def _bcrypt_cost(text: str) -> Cost | None:
    found = _BCRYPT.fullmatch(text)
    if found is None or not MIN_BCRYPT_COST <= int(found[1]) <= MAX_BCRYPT_COST:
        return None
    return Cost(algo="bcrypt", memory_kib=BCRYPT_MEMORY_KIB, passes=1 << int(found[1]))


def compare(stored: StoredHash, password: str) -> bool:
    """True if the password fits; blocks for as long as the hash takes."""
    if stored.is_bcrypt:
        try:
            return bcrypt.checkpw(_legacy_bytes(password), stored.text.encode())
        except ValueError:
            return False
    try:
        return _verifier.verify(stored.text, password.encode("utf-8", "surrogatepass"))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def is_unambiguous(stored: StoredHash, password: str) -> bool:
    r"""True if no other text fits the hash as well, so that a new hash of this one loses nothing.

    bcrypt compares 72 bytes: a text of 72 or more may be the right password with a slip, or only its
    beginning. It also repeats a shorter text, ended by a NUL, so that "ab" and "ab\0ab" are one.
    """
    if not stored.is_bcrypt:
        return True
    secret = password.encode("utf-8", "surrogatepass")
    return len(secret) < _BCRYPT_BYTES and b"\0" not in secret


def spend(cost: Cost, password: str) -> None:
    """Do the work of comparing with a hash of this cost, without a result (a dummy hash)."""
    if cost.algo == "bcrypt":
        factor = cost.passes.bit_length() - 1
        bcrypt.hashpw(_legacy_bytes(password), b"$2b$%02d$" % factor + b"." * 22)
        return
    hash_secret_raw(
        password.encode("utf-8", "surrogatepass"),
        bytes(16),
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=32,
        type=Type.ID,
    )


def _legacy_bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES]
