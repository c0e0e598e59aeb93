"""Stored password hashes: their parameters, their cost, and the comparison.

A hash comes from a table that may have been imported: its parameters are read and capped before anything is
computed with them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field

import argon2
import bcrypt
from argon2.low_level import Type, hash_secret_raw

from authkit_issuer.config import MAX_ARGON2_LANES, MAX_ARGON2_MEMORY_KIB, MAX_ARGON2_TIME
from authkit_issuer.security import foreign_hashes
from authkit_issuer.security.foreign_hashes import Pbkdf2, derive_scrypt
from authkit_issuer.security.password_length import MAX_NORMALIZED_CHARS

MIN_BCRYPT_COST, MAX_BCRYPT_COST = 4, 16
MIN_SALT_BYTES, MIN_HASH_BYTES = 8, 16
BCRYPT_MEMORY_KIB = 4
_BCRYPT_BYTES = 72  # what bcrypt looks at; the library refuses more, older ones cut silently
_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
RESET_REQUIRED = "legacy-reset-required"
_ARGON2 = {"argon2id": Type.ID, "argon2i": Type.I}
_FOREIGN = ("pbkdf2", "scrypt")

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
    """The cost of one comparison.

    For bcrypt ``passes`` is 2 to the power of its cost factor, for PBKDF2 its iterations; for scrypt
    ``passes`` is p and ``lanes`` is r.
    """

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
    if stored.algo in _FOREIGN:
        return _foreign_cost(stored)
    return _argon2_cost(stored) if stored.algo in _ARGON2 else None


def _argon2_cost(stored: StoredHash) -> Cost | None:
    try:
        found = argon2.extract_parameters(stored.text)
    except (argon2.exceptions.InvalidHashError, ValueError):
        return None
    sane = (
        found.type is _ARGON2[stored.algo]
        and 1 <= found.parallelism <= MAX_ARGON2_LANES
        and 8 * found.parallelism <= found.memory_cost <= MAX_ARGON2_MEMORY_KIB
        and 1 <= found.time_cost <= MAX_ARGON2_TIME
        and found.salt_len >= MIN_SALT_BYTES
        and found.hash_len >= MIN_HASH_BYTES
    )
    if not sane:
        return None
    return Cost(
        algo=stored.algo, memory_kib=found.memory_cost, passes=found.time_cost, lanes=found.parallelism
    )


def acceptable(stored: StoredHash) -> bool:
    """True if a stored hash can be read and its cost is within the limits."""
    return cost_of(stored) is not None


def _bcrypt_cost(text: str) -> Cost | None:
    found = _BCRYPT.fullmatch(text)
    if found is None or not MIN_BCRYPT_COST <= int(found[1]) <= MAX_BCRYPT_COST:
        return None
    return Cost(algo="bcrypt", memory_kib=BCRYPT_MEMORY_KIB, passes=1 << int(found[1]))


def _foreign_cost(stored: StoredHash) -> Cost | None:
    found = foreign_hashes.parse(stored.text)
    if found is None or isinstance(found, Pbkdf2) != (stored.algo == "pbkdf2"):
        return None
    if isinstance(found, Pbkdf2):
        return Cost(algo=f"pbkdf2-{found.digest}", memory_kib=1, passes=found.passes)
    return Cost(algo="scrypt", memory_kib=found.n * found.r // 8, passes=found.p, lanes=found.r)


def algorithm_of(text: str) -> str:
    """Return the algorithm that a hash in its stored form names, ``""`` for none."""
    if text.startswith(_BCRYPT_PREFIXES):
        return "bcrypt"
    for algo in _ARGON2:
        if text.startswith(f"${algo}$"):
            return algo
    found = foreign_hashes.parse(text)
    return "" if found is None else "pbkdf2" if isinstance(found, Pbkdf2) else "scrypt"


def compare(stored: StoredHash, password: str) -> bool:
    """True if the password fits; blocks for as long as the hash takes."""
    if stored.is_bcrypt:
        try:
            return bcrypt.checkpw(_legacy_bytes(password), stored.text.encode())
        except ValueError:
            return False
    if stored.algo in _FOREIGN:
        found = foreign_hashes.parse(stored.text)
        return found is not None and found.fits(password.encode("utf-8", "surrogatepass"))
    try:
        return _verifier.verify(stored.text, password.encode("utf-8", "surrogatepass"))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def is_unambiguous(stored: StoredHash, password: str) -> bool:
    r"""True if no other text fits the hash as well, so that a new hash of this one loses nothing.

    PBKDF2 and scrypt do not see a NUL at the end, and better-auth makes compatible characters one (NFKC).
    bcrypt compares 72 bytes: a text of 72 or more may be the right password with a slip, or only its
    beginning. It also repeats a shorter text, ended by a NUL, so that "ab" and "ab\0ab" are one.
    """
    secret = password.encode("utf-8", "surrogatepass")
    if stored.algo in _FOREIGN:
        if b"\0" in secret or len(password) > MAX_NORMALIZED_CHARS:
            return False
        return unicodedata.normalize("NFKC", password) == unicodedata.normalize("NFC", password)
    if not stored.is_bcrypt:
        return True
    return len(secret) < _BCRYPT_BYTES and b"\0" not in secret


def spend(cost: Cost, password: str) -> None:
    """Do the work of comparing with a hash of this cost, without a result (a dummy hash)."""
    if cost.algo == "bcrypt":
        factor = cost.passes.bit_length() - 1
        bcrypt.hashpw(_legacy_bytes(password), b"$2b$%02d$" % factor + b"." * 22)
        return
    secret = password.encode("utf-8", "surrogatepass")
    if cost.algo == "scrypt":
        derive_scrypt(secret, bytes(16), n=cost.memory_kib * 8 // cost.lanes, r=cost.lanes, p=cost.passes)
        return
    if cost.algo.startswith("pbkdf2-"):
        hashlib.pbkdf2_hmac(cost.algo.removeprefix("pbkdf2-"), secret, bytes(16), cost.passes)
        return
    hash_secret_raw(
        secret,
        bytes(16),
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=32,
        type=_ARGON2[cost.algo],
    )


def _legacy_bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES]
