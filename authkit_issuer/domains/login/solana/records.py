"""The ephemeral records of wallet challenges: each is kept until its one answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from authkit_issuer.domains.base import stored_values
from authkit_issuer.ports import Clock, EphemeralStore
from authkit_issuer.security.siws import SignInInput

_NONCE = re.compile(r"[A-Za-z0-9]{8,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeData:
    """An issued challenge. Times are aware, in UTC; ``username`` is the name for a new account."""

    address: str
    username: str | None
    issued_at: datetime
    expires_at: datetime
    input: SignInInput


class ChallengeCache(Protocol):
    """A store of challenges. A storage failure is an error, never "no such challenge"."""

    async def put(self, nonce: str, data: ChallengeData) -> None:
        """Store a challenge, at least until it expires."""
        ...

    async def get(self, nonce: str) -> ChallengeData | None:
        """Return a challenge without using it up."""
        ...

    async def delete(self, nonce: str) -> None:
        """Delete a challenge."""
        ...

    async def consume(self, nonce: str) -> ChallengeData | None:
        """Take a challenge out in one step: of concurrent callers at most one gets it."""
        ...


@dataclass(frozen=True, slots=True)
class StoredChallenges:
    """Challenges in the ephemeral store, under ``siws:nonce:<nonce>``."""

    store: EphemeralStore
    clock: Clock

    async def put(self, nonce: str, data: ChallengeData) -> None:
        """See ``ChallengeCache``; an expired challenge is not stored."""
        left = data.expires_at.timestamp() - self.clock()
        if left > 0:
            await self.store.set(_key(nonce), _encode(data), left)

    async def get(self, nonce: str) -> ChallengeData | None:
        """See ``ChallengeCache``."""
        return _decode(await self.store.get(_key(nonce))) if _NONCE.fullmatch(nonce) else None

    async def delete(self, nonce: str) -> None:
        """See ``ChallengeCache``."""
        if _NONCE.fullmatch(nonce):
            await self.store.delete(_key(nonce))

    async def consume(self, nonce: str) -> ChallengeData | None:
        """See ``ChallengeCache``."""
        return _decode(await self.store.take(_key(nonce))) if _NONCE.fullmatch(nonce) else None


class _Stored(msgspec.Struct, frozen=True):
    address: str
    username: str | None
    issued_at: float
    expires_at: float
    input: dict[str, object]


def _key(nonce: str) -> str:
    return f"siws:nonce:{nonce}"


def _encode(data: ChallengeData) -> bytes:
    return msgspec.json.encode(
        _Stored(
            address=data.address,
            username=data.username,
            issued_at=data.issued_at.timestamp(),
            expires_at=data.expires_at.timestamp(),
            input=data.input.to_json(),
        )
    )


def _decode(stored: bytes | None) -> ChallengeData | None:
    if stored is None:
        return None
    found = stored_values.record(stored, _Stored)
    with stored_values.reading("record"):
        return ChallengeData(
            address=found.address,
            username=found.username,
            issued_at=datetime.fromtimestamp(found.issued_at, UTC),
            expires_at=datetime.fromtimestamp(found.expires_at, UTC),
            input=SignInInput.from_json(found.input),
        )
