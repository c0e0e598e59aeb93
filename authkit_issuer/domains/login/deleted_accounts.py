"""Accounts that their owner has deleted: restored, or erased before their retention ends.

Both take the password, which the owner who forgot it resets by a code to a verified contact first. Where a
provider or a wallet signs the owner in, they take the token of that login's refusal. What an operator has
deleted, an operator restores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.credentials import obstacles
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.errors.declared import declared, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import restore_token
from authkit_issuer.security.restore_token import RestoreToken
from authkit_issuer.store.predicates import HAS_TWO_FACTOR, RESTORABLE
from authkit_issuer.store.query import Query, Statement

# The account as the password proved it, which its owner deleted; whatever changed since raised the epoch.
_DELETED_BY_OWNER = f"u.id = $1::uuid and u.auth_epoch = $2 and {RESTORABLE}"

LOCK_RESTORABLE = Query(
    str, f"select u.id::text from profiles.users u where {_DELETED_BY_OWNER} for no key update"
)

REQUEST_ERASURE = Statement(
    f"""
    update profiles.users u set erase_requested = true, auth_epoch = auth_epoch + 1, updated_at = now()
    where {_DELETED_BY_OWNER} and not {HAS_TWO_FACTOR}
    """
)


TOKEN_LIFE = 600.0
"""Seconds in which the token of a refused login restores or erases the account."""


class FoundAccount(obstacles.DeletedAccount, Protocol):
    """The account of a login that a provider or a wallet has verified."""

    @property
    def user_id(self) -> str:
        """The id of the user."""
        ...


def refusal_of(rt: Runtime, account: FoundAccount) -> errors.UserBanned:
    """Return the refusal of a verified login without a password, to an account that may not act.

    That of an account which its owner may restore has a ``restore_token`` in its metadata.
    """
    if account.deleted_at is None:
        return errors.UserBanned()
    refusal = obstacles.deleted_refusal(account, rt.config)
    if account.restorable:
        token = RestoreToken(
            user_id=account.user_id, auth_epoch=account.auth_epoch, ends_at=rt.clock() + TOKEN_LIFE
        )
        refusal.metadata["restore_token"] = restore_token.encode(rt.keys.current(), rt.config.issuer, token)
    return refusal


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
        if deleted is not None and not await self._restore(deleted.about, deleted.auth_epoch, client):
            raise errors.InvalidCredentials

    @raises(errors.InvalidOrExpiredToken)
    async def restore_by_token(self, token: str, *, client: Client | None = None) -> None:
        """Take the deletion back with the ``restore_token`` of a refused login.

        Raises:
            InvalidOrExpiredToken: The token has ended, or the account changed since.
        """
        found = self._read(token)
        if not await self._restore(found.user_id, found.auth_epoch, client):
            raise errors.InvalidOrExpiredToken

    @raises(*declared(Passwords.prove))
    async def erase(self, identifier: str, password: str, *, client: Client | None = None) -> None:
        """Have the next purge delete the account permanently, whenever its retention ends.

        It keeps its names until its last access token has expired. The purge and not this call deletes it, so
        that the host's ``before_purge`` runs. Not inside a transaction.

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
        if not await self._erase(deleted.about, deleted.auth_epoch, client):
            raise deleted

    @raises(errors.InvalidOrExpiredToken)
    async def erase_by_token(self, token: str, *, client: Client | None = None) -> None:
        """Have the next purge delete the account, with the ``restore_token`` of a refused login.

        Raises:
            InvalidOrExpiredToken: The token has ended, the account changed since, or it has a second factor.
        """
        found = self._read(token)
        if not await self._erase(found.user_id, found.auth_epoch, client):
            raise errors.InvalidOrExpiredToken

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
        except errors.Unauthenticated as refusal:
            await Logins(self.rt).note_failure(refusal, client)
            raise
        return None

    async def _restore(self, user_id: str, auth_epoch: int, client: Client | None) -> bool:
        """Take a deletion back; False if the account changed since its proof, or no longer is deleted."""
        async with self.rt.transaction() as tx:
            if await tx.maybe(LOCK_RESTORABLE, user_id, auth_epoch) is None:
                return False
            await Lifecycle(tx).restore(user_id, client=client)
        return True

    async def _erase(self, user_id: str, auth_epoch: int, client: Client | None) -> bool:
        """Request an erasure; False as ``_restore``, and for an account with a second factor."""
        async with self.rt.transaction() as tx:
            if not await tx.execute(REQUEST_ERASURE, user_id, auth_epoch):
                return False
            await Events(tx).record(
                SessionEventType.USER_ERASURE_REQUESTED,
                actor=None,
                user_id=user_id,
                target=user_id,
                client=client,
            )
        return True

    def _read(self, token: str) -> RestoreToken:
        found = restore_token.decode(self.rt.keys.current(), self.rt.config.issuer, token)
        if found is None or found.ends_at <= self.rt.clock():
            raise errors.InvalidOrExpiredToken
        return found
