"""Backup codes: thirteen characters of 65 random bits, shown once, used once, stored as keyed digests.

Older sets have twelve. Guesses at them have no bound over all challenges: another one than their length would
let anybody with the password take them from the owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.asking_session import require_live
from authkit_issuer.domains.factors import totp_codes
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes
from authkit_issuer.store.predicates import FACTOR_ON, LOCK_USER
from authkit_issuer.store.query import Query, Statement

REPLACE_BACKUP_CODES = Statement(
    f"""
    update profiles.two_factor_settings t set backup_codes = $2::text[], updated_at = now()
    where t.user_id = $1::uuid and {FACTOR_ON}
    """
)

HOLDS_BACKUP_CODE = Query(
    bool,
    f"""
    select exists (
        select from profiles.two_factor_settings t
        where t.user_id = $1::uuid and {FACTOR_ON} and t.backup_codes && $2::text[]
    )
    """,
)

# One statement: of parallel uses the later ones wait for the row and then no longer find the code in it.
USE_BACKUP_CODE = Query(
    int,
    f"""
    update profiles.two_factor_settings t
    set backup_codes = array(select code from unnest(t.backup_codes) as code where code <> all ($2::text[])),
        updated_at = now()
    where t.user_id = $1::uuid and {FACTOR_ON} and t.backup_codes && $2::text[]
    returning cardinality(t.backup_codes)
    """,
)


COUNT = 10
_PURPOSE = "2fa_backup"


@dataclass(frozen=True, slots=True)
class BackupCodes:
    """Creates, finds and uses up backup codes."""

    rt: Runtime

    def new(self) -> list[str]:
        """Return a new set as shown to the user, in groups."""
        return [codes.new_long_code(self.rt.random_bytes) for _ in range(COUNT)]

    def digests(self, user_id: str, shown: list[str]) -> list[str]:
        """Return the digests to store for a set."""
        keys = self.rt.keys.current()
        return [codes.digest(keys, _PURPOSE, user_id, codes.typed(code)) for code in shown]

    async def replace(self, user_id: str, session_id: str | None, client: Client | None) -> list[str]:
        """Replace the codes by new ones and return them; raises ``TwoFactorNotEnabled``, ``SessionEnded``."""
        shown = self.new()
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, user_id)
            await require_live(tx, user_id, session_id)
            if not await tx.execute(REPLACE_BACKUP_CODES, user_id, self.digests(user_id, shown)):
                raise errors.TwoFactorNotEnabled
            await Events(tx).record(
                SessionEventType.TWO_FACTOR_BACKUP_CODES_MADE, actor=None, user_id=user_id, client=client
            )
        return shown

    async def holds(self, user_id: str, code: str) -> bool:
        """True if the user has this code unused; it stays unused."""
        return await self.rt.one(HOLDS_BACKUP_CODE, user_id, self._candidates(user_id, code))

    async def use(self, user_id: str, code: str, client: Client | None) -> int | None:
        """Use a code up and return how many are left; None if it is wrong or used.

        Joins the transaction. Of parallel callers with one code, one succeeds.
        """
        async with self.rt.transaction() as tx:
            await tx.maybe(LOCK_USER, user_id)
            left = await tx.maybe(USE_BACKUP_CODE, user_id, self._candidates(user_id, code))
            if left is not None:
                await totp_codes.forget_misses(tx, user_id)
                await Events(tx).record(
                    SessionEventType.TWO_FACTOR_BACKUP_CODE_USED,
                    actor=None,
                    user_id=user_id,
                    client=client,
                    data={"left": left},
                )
        return left

    def _candidates(self, user_id: str, code: str) -> list[str]:
        return codes.digests(self.rt.keys.current(), _PURPOSE, user_id, codes.typed(code))


async def use_up(rt: Runtime, user_id: str, code: str, client: Client | None) -> None:
    """Use a backup code up in the caller's transaction, or raise ``InvalidOrExpiredCode``."""
    if await BackupCodes(rt).use(user_id, code, client) is None:
        raise errors.InvalidOrExpiredCode
