"""The ephemeral records of challenges: each is kept under its own digest until its one response."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import msgspec

from authkit_issuer.domains.base import stored_values
from authkit_issuer.runtime import Runtime

Purpose = Literal["register", "login", "step_up", "second_factor"]

LIFE = 300.0
"""Seconds that an authenticator has for its response."""
CHALLENGE_BYTES = 32


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """An issued challenge. ``expires`` is Unix time; a challenge of a login belongs to no user."""

    purpose: Purpose
    expires: float
    user_id: str = ""
    auth_epoch: int = 0
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Challenges:
    """Issues challenges and takes each one out once."""

    rt: Runtime

    async def issue(
        self, purpose: Purpose, *, user_id: str = "", auth_epoch: int = 0, conditional: bool = False
    ) -> bytes:
        """Return a new challenge of 256 random bits."""
        challenge = self.rt.random_bytes(CHALLENGE_BYTES)
        record = Challenge(
            purpose=purpose,
            expires=self.rt.clock() + LIFE,
            user_id=user_id,
            auth_epoch=auth_epoch,
            conditional=conditional,
        )
        await self.rt.ephemeral.set(_key(challenge), msgspec.json.encode(record), LIFE)
        return challenge

    async def take(self, challenge: bytes) -> Challenge | None:
        """Take a challenge out; of concurrent callers one gets it."""
        if len(challenge) != CHALLENGE_BYTES:
            return None
        stored = await self.rt.ephemeral.take(_key(challenge))
        record = None if stored is None else stored_values.record(stored, Challenge)
        return record if record is not None and record.expires > self.rt.clock() else None

    async def restore(self, challenge: bytes, record: Challenge) -> None:
        """Store a challenge again for the rest of its life, after a failure of storage."""
        left = record.expires - self.rt.clock()
        if left > 0:
            await self.rt.ephemeral.set(
                _key(challenge), msgspec.json.encode(record), left, only_if_absent=True
            )


def _key(challenge: bytes) -> str:
    return f"passkey:{hashlib.sha256(challenge).hexdigest()}"
