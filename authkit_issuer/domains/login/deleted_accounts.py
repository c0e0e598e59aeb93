"""Accounts that their owner has deleted: restored, or erased before their retention ends.

Both take the password, which the owner who forgot it resets by a code to a verified contact first. What an
operator deleted, an operator restores.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.domains.login import queries as sql
from authkit_issuer.errors.declared import declared, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class DeletedAccounts:
    """Lets owners restore or erase the accounts that they have deleted."""

    rt: Runtime

    @raises(*declared(Passwords.prove))
    async def restore(self, identifier: str, password: str, *, client: Client | None = None) -> None:
        """Take the deletion back; a repeated call succeeds, the sessions stay ended.

        Not inside a transaction.

        Args:
            identifier: The email address, phone number or user name.
            password: The password of the account.
            client: The client of the request.

        Raises:
            InvalidCredentials: The password is wrong, or the account changed meanwhile.
            UserDeleted: An operator deleted the account.
            AuthError: Any other refusal of ``passwords.prove``.
        """
        deleted = await self._prove(identifier, password, client)
        if deleted is None:
            return
        async with self.rt.transaction() as tx:
            if await tx.maybe(sql.LOCK_RESTORABLE, deleted.about, deleted.auth_epoch) is None:
                raise errors.InvalidCredentials
            await Lifecycle(tx).restore(deleted.about, client=client)

    @raises(*declared(Passwords.prove))
    async def erase(self, identifier: str, password: str, *, client: Client | None = None) -> None:
        """Have the next purge delete the account permanently, whenever its retention ends.

        The purge and not this call deletes it, so that the host's ``before_purge`` runs. Not inside a
        transaction.

        Args:
            identifier: As for ``restore``.
            password: As for ``restore``.
            client: As for ``restore``.

        Raises:
            InvalidCredentials: The password is wrong, or the account is not deleted.
            UserDeleted: An operator deleted the account, it changed meanwhile, its erasure is requested
                already, or it has a second factor, in place of which the password alone proves too little.
            AuthError: Any other refusal of ``passwords.prove``.
        """
        deleted = await self._prove(identifier, password, client)
        if deleted is None:
            raise errors.InvalidCredentials
        async with self.rt.transaction() as tx:
            if not await tx.execute(sql.REQUEST_ERASURE, deleted.about, deleted.auth_epoch):
                raise deleted
            await Events(tx).record(
                SessionEventType.USER_ERASURE_REQUESTED,
                actor=None,
                user_id=deleted.about,
                target=deleted.about,
                client=client,
            )

    async def _prove(
        self, identifier: str, password: str, client: Client | None
    ) -> errors.UserDeleted | None:
        """Return the refusal of a login to the deleted account; None if the account is not deleted."""
        self.rt.refuse_joining("deleted_accounts")
        try:
            await Passwords(self.rt).prove(identifier, password, client=client)
        except errors.UserDeleted as refusal:
            if not refusal.metadata.get("restorable"):
                raise
            return refusal
        return None
