"""The end of an account, and the ways back: bans, soft and final deletion, purge, erasure, recovery.

A ban and both deletions are one transaction each: the user's row first, then every session of the user,
whichever issuer it belongs to. The row's ``auth_epoch`` moves with it, so that a login that proved itself
before opens nothing afterwards. ``store.predicates`` says in SQL when a user may act, and
``credentials.obstacles`` which refusal a login gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.config import DEFAULT_DELETED_RETENTION
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.asking_session import require_live
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.credentials.password_reset import PasswordReset
from authkit_issuer.domains.lifecycle import queries as sql
from authkit_issuer.domains.lifecycle import recovery
from authkit_issuer.domains.lifecycle.deletion import (
    BeforePurge,
    Purged,
    delete_permanently,
    purge,
)
from authkit_issuer.domains.lifecycle.invariants import keep_an_admin, keep_owners
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.errors.declared import STORES, raises
from authkit_issuer.event_types import HOST, SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import LOCK_USER
from authkit_issuer.store.query import Statement

__all__ = ["BeforePurge", "Lifecycle", "Purged"]

BATCH = 500


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """Bans, deletes, restores, recovers and purges users."""

    rt: Runtime

    @raises(
        errors.UserNotFound,
        errors.InvalidUntil,
        errors.OwnAccount,
        errors.CannotRemoveLastAdminRole,
        errors.CannotRemoveLastOwner,
    )
    async def ban(
        self,
        user_id: str,
        reason: str | None = None,
        until: datetime | None = None,
        banned_by: str | None = None,
        *,
        actor: str | None = None,
        force: bool = False,
        client: Client | None = None,
    ) -> None:
        """Ban the user in place of the present ban; every session ends.

        Args:
            user_id: The user.
            reason: Kept with the account, for operators.
            until: The end of the ban; None is never.
            banned_by: The id of the user who decides.
            actor: Without ``banned_by``, what decides, such as a command; None is the host itself.
            force: Ban even the only owner of an organization with other members.
            client: The client of the operator.

        Raises:
            UserNotFound: No such user, or no such ``banned_by``.
            InvalidUntil: ``until`` names no time zone, or is not in the future by the database's clock.
            OwnAccount: Users cannot ban themselves.
            CannotRemoveLastAdminRole: No other administrator may act.
            CannotRemoveLastOwner: An organization would have no owner who may act, and ``force`` is off.
        """
        known = _known(user_id)
        author = _known(banned_by, param="banned_by") if banned_by else None
        text = identifiers.reason(reason)
        if until is not None and until.tzinfo is None:
            raise errors.InvalidUntil(param="until")
        if author == known:
            raise errors.OwnAccount(param="user_id")
        async with self.rt.transaction() as tx:
            await keep_an_admin(tx, known)
            if author is not None and await tx.maybe(sql.HOLD_AUTHOR, author) is None:
                raise errors.UserNotFound(param="banned_by")
            in_future = await tx.maybe(sql.HOLD_FOR_BAN, known, until)
            if in_future is None:
                raise errors.UserNotFound
            if not in_future:
                raise errors.InvalidUntil(param="until")
            if await tx.maybe(sql.MAY_ACT, known):
                await keep_owners(tx, known, force=force)
            await tx.execute(sql.BAN, known, until, text, author)
            by = author or actor or HOST
            await Sessions(tx).revoke_all(known, reason=SessionRevokeReason.BANNED, actor=by, client=client)
            await Events(tx).record(
                SessionEventType.USER_BANNED,
                user_id=known,
                actor=by,
                target=known,
                client=client,
                data={"reason": text, "until": until.isoformat() if until else None},
            )

    @raises(errors.UserNotFound)
    async def unban(self, user_id: str, *, actor: str | None = None, client: Client | None = None) -> None:
        """Lift the ban, whichever there is now; its sessions stay ended. Raises ``UserNotFound``."""
        await _change(self.rt, user_id, sql.UNBAN, SessionEventType.USER_UNBANNED, actor=actor, client=client)

    async def lift_lapsed_bans(self) -> int:
        """Clear the bans whose end has passed; returns how many.

        Such a ban counts no longer anyway; clearing it keeps it out of what operators are shown. A ban that
        was renewed meanwhile stays.
        """
        total = 0
        while True:
            async with self.rt.transaction() as tx:
                lifted = await tx.all(sql.LIFT_LAPSED, BATCH)
                for known in lifted:
                    await Events(tx).record(
                        SessionEventType.USER_UNBANNED,
                        actor=None,
                        user_id=known,
                        target=known,
                        reason="lapsed",
                    )
            total += len(lifted)
            if len(lifted) < BATCH:
                return total

    @raises(errors.UserNotFound, errors.CannotRemoveLastAdminRole, errors.CannotRemoveLastOwner)
    async def soft_delete(
        self,
        user_id: str,
        *,
        force: bool = False,
        actor: str | None = None,
        session_id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Mark the user deleted and end every session; ``restore`` undoes the mark until the purge.

        Address, number and name stay taken. A user who is deleted already keeps the time of the first
        deletion; after an ``actor`` deletes as well, the owner can no longer restore the account.

        Args:
            user_id: The user.
            force: Delete even the only owner of an organization with other members.
            actor: Who deletes, if that is not the user, who can restore only the own deletion
                (``deleted_accounts.restore``).
            session_id: The session of the user that asks; None if it is none.
            client: The client of the request.

        Raises:
            UserNotFound: No such user.
            SessionEnded: The session has ended.
            CannotRemoveLastAdminRole: No other administrator may act.
            CannotRemoveLastOwner: An organization would have no owner who may act, and ``force`` is off.
        """
        known = _known(user_id)
        statement = sql.SOFT_DELETE_OWN if actor in {None, known} else sql.SOFT_DELETE
        async with self.rt.transaction() as tx:
            await keep_an_admin(tx, known)
            if await tx.maybe(LOCK_USER, known) is None:
                raise errors.UserNotFound
            await require_live(tx, known, session_id)
            await keep_owners(tx, known, force=force)
            if not await _change(
                tx, known, statement, SessionEventType.USER_SOFT_DELETED, actor=actor, client=client
            ):
                return
            await Sessions(tx).revoke_all(
                known, reason=SessionRevokeReason.SOFT_DELETED, actor=actor, client=client
            )

    @raises(errors.UserNotFound)
    async def restore(self, user_id: str, *, actor: str | None = None, client: Client | None = None) -> None:
        """Take the deletion back and nothing else: the sessions stay ended. Raises ``UserNotFound``."""
        await _change(
            self.rt, user_id, sql.RESTORE, SessionEventType.USER_RESTORED, actor=actor, client=client
        )

    @raises(
        errors.UserNotFound,
        errors.OwnAccount,
        errors.AccountNotActive,
        errors.InvalidEmail,
        errors.InvalidPhoneNumber,
        errors.EmailInUse,
        errors.PhoneInUse,
        errors.EmailUnavailable,
        errors.SmsUnavailable,
        *STORES,
    )
    async def recover(
        self,
        user_id: str,
        *,
        email: str | None = None,
        phone: str | None = None,
        actor: str,
        reason: str,
        client: Client | None = None,
    ) -> str:
        """Give an account back to its owner, by one new contact; returns the id of the reset's request.

        Password, second factors, backup codes, passkeys, logins, wallets, sessions and what devices remember
        end in one transaction; roles and memberships stay. The new contact then gets a password reset, and
        the former ones a notice. The other contact needs a proof again. If the store fails after the commit,
        repeat the call: it sends the reset again.

        Args:
            user_id: The user, whose identity the operator has checked.
            email: The new address; it may be the present one.
            phone: The new number, in place of an address.
            actor: The responsible operator.
            reason: Why, for the event.
            client: The client of the operator.

        Raises:
            Invalid: None or both of the contacts, or no reason.
            UserNotFound: No such user.
            OwnAccount: Operators cannot recover their own account.
            AccountNotActive: The user is banned or deleted.
            EmailInUse, PhoneInUse: Another account has the contact.
            EmailUnavailable, SmsUnavailable: There is no sender for the reset.
            InvalidEmail, InvalidPhoneNumber: The contact is none.
            Unavailable: Storage failed.
        """
        self.rt.refuse_joining("lifecycle.recover")
        known, why = _known(user_id), identifiers.reason(reason)
        kind, target = recovery.contact_of(email, phone)
        if why is None:
            raise errors.Invalid("A recovery needs a reason, for the audit trail.", param="reason")
        if known == identifiers.uuid_or_none(actor):
            raise errors.OwnAccount(param="user_id")
        Messages(self.rt).require(kind)
        Messages(self.rt).require_reachable(kind, target)
        await recovery.give_back(self.rt, known, kind, target, actor=actor, reason=why, client=client)
        return await PasswordReset(self.rt).request(kind, target, None, client, actor=actor)

    @raises(errors.CannotRemoveLastAdminRole, errors.CannotRemoveLastOwner)
    async def hard_delete(
        self,
        user_id: str,
        *,
        force: bool = False,
        actor: str | None = None,
        client: Client | None = None,
    ) -> bool:
        """Delete the account and all that belongs to it permanently; False if the user does not exist.

        Organizations without other members are closed. Raises ``CannotRemoveLastOwner`` when one with other
        members would lose its only owner, unless ``force``; ``CannotRemoveLastAdminRole`` for the last
        administrator, who first gives up the role. Events stay: ``anonymise_events`` wipes them.
        """
        known = identifiers.uuid_or_none(user_id)
        if known is None:
            return False
        async with self.rt.transaction() as tx:
            await keep_an_admin(tx, known)
            return await delete_permanently(tx, known, force=force, actor=actor, client=client)

    @raises(errors.CannotRemoveLastAdminRole, errors.CannotRemoveLastOwner)
    async def delete(
        self,
        user_id: str,
        soft: bool,  # noqa: FBT001 - the position is the contract
        *,
        force: bool = False,
        actor: str | None = None,
        client: Client | None = None,
    ) -> bool:
        """Delete on behalf of the host, softly or permanently; False if the user does not exist."""
        if not soft:
            return await self.hard_delete(user_id, force=force, actor=actor, client=client)
        try:
            await self.soft_delete(user_id, force=force, actor=actor, client=client)
        except errors.UserNotFound:
            return False
        return True

    async def list_deleted_before(self, cutoff: datetime, limit: int = BATCH) -> list[str]:
        """Return the ids of users who were soft-deleted before this moment, the oldest deletion first.

        A limit of zero or less means 500. Raises ``Invalid`` for a moment without a time zone.
        """
        if cutoff.tzinfo is None:
            raise errors.Invalid("The cutoff names no time zone.", param="cutoff")
        return await self.rt.all(sql.DELETED_BEFORE, cutoff, limit if limit > 0 else BATCH)

    async def purge_deleted(
        self,
        *,
        retention: float | None = None,
        batch: int = BATCH,
        before: BeforePurge | None = None,
    ) -> Purged:
        """Delete for good every user who was soft-deleted more than ``retention`` seconds ago.

        ``retention`` left out is ``deleted_user_retention``, or 30 days where that is None.
        ``before(user_id)`` runs before each deletion, while the user cannot be restored. It must be safe to
        repeat: when it raises, the user stays and is tried again next time. A user that cannot be deleted is
        skipped and reported. Each user is a transaction of its own, and any number of purges may run at once.
        Not inside a transaction.
        """
        self.rt.refuse_joining("lifecycle.purge_deleted")
        if retention is None:
            retention = self.rt.config.deleted_user_retention or DEFAULT_DELETED_RETENTION
        return await purge(self.rt, retention=retention, batch=max(1, batch), before=before)

    async def anonymise_events(self, user_id: str, *, actor: str | None = None) -> int:
        """Wipe addresses, user agents and details from what the audit trail says of a user.

        Works for users who are gone as well. Returns how many events were wiped; sinks that took them before
        are the host's matter. That it was done is an event itself.
        """
        known = identifiers.uuid_or_none(user_id)
        if known is None:
            return 0
        async with self.rt.transaction() as tx:
            wiped = await Events(tx).anonymise(known)
            await Events(tx).record(
                SessionEventType.USER_ANONYMISED, user_id=known, actor=actor, target=known
            )
        return wiped


async def _change(
    rt: Runtime,
    user_id: str,
    statement: Statement,
    event: SessionEventType,
    *,
    actor: str | None,
    client: Client | None,
) -> bool:
    """Run a statement on a user with its event; False when it had nothing to change."""
    known = _known(user_id)
    async with rt.transaction() as tx:
        if await tx.maybe(LOCK_USER, known) is None:
            raise errors.UserNotFound
        if not await tx.execute(statement, known):
            return False
        await Events(tx).record(event, user_id=known, actor=actor, target=known, client=client)
    return True


def _known(user_id: str, *, param: str | None = None) -> str:
    """Return the canonical id, or raise ``UserNotFound`` for what cannot be one."""
    known = identifiers.uuid_or_none(user_id)
    if known is None:
        raise errors.UserNotFound(param=param)
    return known
