"""Deleting an account for good."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.lifecycle import queries as sql
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """One deletion, from the lock of the user's row to the last event."""

    rt: Runtime
    user_id: str
    """In canonical form."""
    force: bool = False
    actor: str | None = None
    client: Client | None = None

    async def run(self) -> bool:
        """Delete the account in one transaction; False when there is none."""
        async with self.rt.transaction() as tx:
            if self.user_id not in await tx.all(sql.HOLD_WITH_BANNED, self.user_id):
                return False
            await self._leave_orgs(tx)
            await Sessions(tx).revoke_all(
                self.user_id, reason=SessionRevokeReason.ADMIN_REVOKE_ALL, client=self.client
            )
            await Events(tx).record(
                SessionEventType.USER_DELETED,
                user_id=self.user_id,
                actor=self.actor,
                target=self.user_id,
                client=self.client,
            )
            await tx.execute(sql.DELETE, self.user_id)
        return True

    async def _leave_orgs(self, tx: Runtime) -> None:
        """Refuse to take the only owner from others, and close what nobody is left in."""
        orgs = await tx.all(sql.HOLD_ORGS, self.user_id)
        left = await tx.all(sql.LEFT_BEHIND, orgs, self.user_id) if orgs else []
        if not self.force and any(org.has_members and org.loses_owner for org in left):
            raise errors.CannotRemoveLastOwner
        empty = [org.id for org in left if not org.has_members]
        if empty:
            await tx.execute(sql.CLOSE_ORGS, empty)
