"""The users of a run: their addresses, their password, and its hash."""

from __future__ import annotations

import argon2

PASSWORD = "correct-horse-battery-7"
SAME_HASH = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
"""The hash that every server compares with: argon2id 19456/2/1, the default of the issuer."""


def address(kind: str, number: int) -> str:
    return f"{kind}{number}@example.com"
