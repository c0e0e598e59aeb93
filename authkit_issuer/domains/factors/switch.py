"""Switching the second factor on and off: one transaction each, with its event."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.factors import queries as sql
from authkit_issuer.domains.factors.backup_codes import BackupCodes
from authkit_issuer.domains.factors.queries import Factor
from authkit_issuer.domains.sessions.queries import RAISE_EPOCH
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Switch:
    """Writes the settings; whoever calls has seen the proof."""

    rt: Runtime

    async def on(self, person: Factor, method: str, phone: str | None, client: Client | None) -> list[str]:
        """Switch on and return the backup codes; ``InvalidOrExpiredCode`` when the account has moved on."""
        shown = BackupCodes(self.rt).new()
        stored = BackupCodes(self.rt).digests(person.user_id, shown)
        email = person.email if method == "email" else None
        async with self.rt.transaction() as tx:
            owner = await tx.maybe(sql.CLAIM, person.user_id, person.auth_epoch, email)
            if owner is None:
                raise errors.InvalidOrExpiredCode
            await tx.execute(sql.ENABLE, person.user_id, method, phone, stored)
            await Events(tx).record(
                SessionEventType.TWO_FACTOR_ENABLED, user_id=person.user_id, method=method, client=client
            )
            await Messages(tx).notify(owner.email, owner.username, "two_factor_enabled")
        return shown

    async def off(
        self, user_id: str, client: Client | None, *, actor: str | None = None, reason: str | None = None
    ) -> bool:
        """Switch off and tell whether it was on; raises ``UserNotFound``."""
        async with self.rt.transaction() as tx:
            owner = await tx.maybe(sql.LOCK, user_id)
            if owner is None:
                raise errors.UserNotFound
            if not await tx.execute(sql.DISABLE, user_id):
                return False
            await tx.execute(RAISE_EPOCH, user_id)
            await Events(tx).record(
                SessionEventType.TWO_FACTOR_DISABLED,
                user_id=user_id,
                actor=actor,
                reason=reason,
                client=client,
            )
            await Messages(tx).notify(owner.email, owner.username, "two_factor_disabled")
        return True
