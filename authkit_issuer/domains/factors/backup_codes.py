"""Backup codes: twelve characters of 60 random bits, shown once, stored as keyed digests."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes

COUNT = 10
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_LENGTH = 12
_GROUP = 4
_PURPOSE = "2fa_backup"


@dataclass(frozen=True, slots=True)
class BackupCodes:
    """Creates, finds and uses up backup codes."""

    rt: Runtime

    def new(self) -> list[str]:
        """Return a new set as shown to the user: three groups of four characters each."""
        return [self._new() for _ in range(COUNT)]

    def digests(self, user_id: str, shown: list[str]) -> list[str]:
        """Return the digests to store for a set."""
        keys = self.rt.keys.current()
        return [codes.digest(keys, _PURPOSE, user_id, normalized(code)) for code in shown]

    async def holds(self, user_id: str, code: str) -> bool:
        """True if the user has this code unused; it stays unused."""
        return await self.rt.one(sql.HOLDS_BACKUP_CODE, user_id, self._candidates(user_id, code))

    async def use(self, user_id: str, code: str, client: Client | None) -> int | None:
        """Use a code up and return how many are left; None if it is wrong or used.

        Joins the transaction. Of parallel callers with one code, one succeeds.
        """
        async with self.rt.transaction() as tx:
            left = await tx.maybe(sql.USE_BACKUP_CODE, user_id, self._candidates(user_id, code))
            if left is not None:
                await Events(tx).record(
                    SessionEventType.TWO_FACTOR_BACKUP_CODE_USED,
                    actor=None,
                    user_id=user_id,
                    client=client,
                    data={"left": left},
                )
        return left

    def _new(self) -> str:
        # 32 divides 256: every symbol is equally likely.
        text = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in self.rt.random_bytes(_LENGTH))
        return "-".join(text[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))

    def _candidates(self, user_id: str, code: str) -> list[str]:
        return codes.digests(self.rt.keys.current(), _PURPOSE, user_id, normalized(code))


def normalized(code: str) -> str:
    """Return the form of a code that is compared: upper case, without spaces and hyphens."""
    return "".join(code.split()).replace("-", "").upper()
