"""Recovery by a user who lost every second factor: a sign-in starts it, a wait protects the owner.

The right first factor alone, which may be a stolen password, starts a request and learns nothing. Every
contact gets a notice at once and every day, and can cancel. A change of the account, or a proof of a second
factor, ends the request as well. After ``recovery_delay`` another right first factor completes it: the
factors are gone, and the sign-in goes on without them. ``queries`` says in SQL when a request is open.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import asdict, dataclass
from functools import partial

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.base.messages import NOTICE_LIFE
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.codes.one_time import OneTimeCodes, Record, on_outage
from authkit_issuer.domains.factors.challenges import Challenges
from authkit_issuer.domains.factors.kinds import PASSKEY
from authkit_issuer.domains.factors.queries import DISABLE
from authkit_issuer.domains.factors.records import SignIn
from authkit_issuer.domains.login.passwordless.accounts import take_unproved
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.recovery import notices
from authkit_issuer.domains.recovery import queries as sql
from authkit_issuer.domains.recovery.queries import Owner, RecoveryState
from authkit_issuer.domains.sessions.service import Sessions, TokenPair
from authkit_issuer.errors.declared import STORES, raises
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import codes

__all__ = ["Recovery", "RecoveryState"]

WINDOW = 7 * 86_400.0
"""Seconds after the wait in which a recovery completes."""
BATCH = 100


@dataclass(frozen=True, slots=True)
class Recovery:
    """Starts, cancels and completes recoveries."""

    rt: Runtime

    @raises(
        errors.RecoveryNotConfigured,
        errors.InvalidChallenge,
        errors.RecoveryUnavailable,
        errors.TooManyRequests,
        *STORES,
    )
    async def start(self, user_id: str, challenge: str, *, client: Client | None = None) -> RecoveryState:
        """Start a recovery with the challenge of a sign-in, which stays good; send every contact a notice.

        A recovery that is open goes on as it is: another start neither shortens nor prolongs the wait.

        Args:
            user_id: The ``user_id`` of a ``TwoFactorRequired``.
            challenge: Its ``challenge``.
            client: The client, for the event and the notices.

        Raises:
            RecoveryNotConfigured: ``recovery_delay`` is not set.
            InvalidChallenge: The challenge is over, or the account changed: sign in again.
            RecoveryUnavailable: No notice can be sent to a verified contact of the account.
            TooManyRequests: One was started or cancelled within a day.
        """
        delay = self._delay()
        record = await Challenges(self.rt).find(user_id, challenge)
        if record is None:
            raise errors.InvalidChallenge
        async with self.rt.transaction() as tx:
            owner = await _lock(tx, record)
            present = await tx.maybe(sql.FIND, record.user_id)
            if present is not None:
                return present
            if owner.pause > 0:
                raise errors.TooManyRequests(retry_after=owner.pause)
            if not notices.reaches(tx, owner):
                raise errors.RecoveryUnavailable
            method = SignIn.of(record).first.method
            opened = await tx.one(sql.OPEN, record.user_id, record.auth_epoch, method, delay, WINDOW)
            await Events(tx).record(
                SessionEventType.RECOVERY_REQUESTED,
                actor=None,
                user_id=record.user_id,
                method=method,
                client=client,
                data={"completes_at": opened.completes_at.isoformat()},
            )

            async def tell_first() -> None:
                await _tell_due(_outside(self.rt), delay, record.user_id, client or Client())

            await tx.start_after_commit(tell_first, name="recovery notice")
        return opened

    async def get(self, user_id: str) -> RecoveryState | None:
        """Return the open recovery of a user, or None."""
        known = identifiers.uuid_or_none(user_id)
        return None if known is None else await self.rt.maybe(sql.FIND, known)

    async def cancel(self, user_id: str, *, actor: str | None = None, client: Client | None = None) -> bool:
        """Cancel the recovery of a user whom the caller has authenticated; False if none is open.

        ``actor`` is the responsible operator, if that is not the user.
        """
        known = identifiers.uuid_or_none(user_id)
        if known is None:
            return False
        async with self.rt.transaction() as tx:
            return await _cancel(tx, known, reason="session", actor=actor, client=client)

    @raises(errors.InvalidOrExpiredToken, errors.DatabaseUnavailable)
    async def cancel_by_token(self, token: str, *, client: Client | None = None) -> None:
        """Cancel a recovery by the token of any of its notices, which does nothing else.

        A repeated call succeeds. Raises ``InvalidOrExpiredToken`` for a token of no recovery.
        """
        user_id = await self.rt.maybe(sql.OF_TOKEN, _digest(token))
        if user_id is None:
            raise errors.InvalidOrExpiredToken
        async with self.rt.transaction() as tx:
            await _cancel(tx, user_id, reason="notice", actor=None, client=client)

    @raises(
        errors.RecoveryNotConfigured,
        errors.InvalidChallenge,
        errors.RecoveryNotFound,
        errors.RecoveryNotReady,
        errors.TwoFactorEnrollmentRequired,
        errors.TwoFactorRequiredByOrg,
        errors.InvalidCredentials,
        errors.UserBanned,
        errors.MissingSigner,
        errors.EntitlementsUnavailable,
        *STORES,
    )
    async def complete(self, user_id: str, challenge: str, *, client: Client | None = None) -> TokenPair:
        """Drop every second factor after the wait, and finish the sign-in without one.

        Second factors, backup codes, passkeys, what devices remember and every session end in one
        transaction; passkeys stay if one of them is the first factor. Of concurrent calls one succeeds.

        Args:
            user_id: The ``user_id`` of a ``TwoFactorRequired``.
            challenge: Its ``challenge``, of a sign-in after the wait.
            client: The client that signs in.

        Raises:
            InvalidChallenge: The challenge is over, or the account changed: sign in again.
            RecoveryNotFound: No recovery is open.
            RecoveryNotReady: The wait is not over, or its daily notices did not go out.
            TwoFactorEnrollmentRequired: The recovery is complete; policy requires a new factor.
            TwoFactorRequiredByOrg: The recovery is complete; sign in without the organization.
            Unavailable: Storage failed. Recovery and challenge are as before, or the recovery is complete.
        """
        self.rt.refuse_joining("recovery.complete")
        self._delay()
        record = await Challenges(self.rt).find(user_id, challenge)
        if record is None:
            raise errors.InvalidChallenge
        await self._require_ready(record.user_id)
        one_time = OneTimeCodes(self.rt)
        if not await one_time.spend(record):
            raise errors.InvalidChallenge
        async with on_outage(lambda: one_time.restore(record), errors.RecoveryNotFound):
            epoch = await self._drop(record, client)
        waiting = SignIn.of(record)
        first = FirstFactor(
            user_id=record.user_id, auth_epoch=epoch, authenticated_at=waiting.first.authenticated_at
        )
        return await Logins(self.rt).finish(
            first,
            method=waiting.first.method,
            amr=waiting.first.amr,
            org=waiting.org,
            extra=waiting.extra,
            client=client,
        )

    async def remind(self) -> int:
        """Send the daily notices of every open recovery; returns of how many.

        Safe to run from any number of processes. ``Service.maintain`` runs it.
        """
        delay = self.rt.config.recovery_delay
        if delay is None:
            return 0
        told = 0
        async with self.rt.transaction() as tx:
            for user_id in await tx.all(sql.END_PROVED, BATCH):
                await _record_cancelled(tx, user_id, reason="second_factor", actor=None, client=None)
        while (found := await _tell_due(self.rt, delay)) == BATCH:
            told += found
        told += found
        await self.rt.execute(sql.PURGE)
        return told

    def _delay(self) -> float:
        if self.rt.config.recovery_delay is None:
            raise errors.RecoveryNotConfigured
        return self.rt.config.recovery_delay

    async def _require_ready(self, user_id: str) -> None:
        state = await self.rt.maybe(sql.FIND, user_id)
        if state is None:
            raise errors.RecoveryNotFound
        if not state.ready:
            raise errors.RecoveryNotReady(metadata={"completes_at": state.completes_at.isoformat()})

    async def _drop(self, record: Record, client: Client | None) -> int:
        """Complete the request in one transaction and return the new epoch."""
        first = SignIn.of(record).first
        async with self.rt.transaction() as tx:
            owner = await _lock(tx, record)
            if await tx.maybe(sql.CLAIM, record.user_id) is None:
                raise errors.RecoveryNotFound
            dropped = await tx.one(sql.DROP_FACTORS, record.user_id, first.method == PASSKEY.name)
            await tx.execute(DISABLE, record.user_id)
            await Guesses(tx).forget_user(record.user_id)
            await Sessions(tx).revoke_all(record.user_id, reason=SessionRevokeReason.RECOVERED, client=client)
            await Events(tx).record(
                SessionEventType.RECOVERY_COMPLETED,
                actor=None,
                user_id=record.user_id,
                method=first.method,
                client=client,
                data=asdict(dropped),
            )
            if first.contact:
                # The factor was all that kept the maker of the account out.
                await take_unproved(tx, record.user_id, first.contact, client)
            await notices.tell(tx, owner, "recovery_completed", client=client or Client())
            return await tx.one(sql.EPOCH, record.user_id)


async def _tell_due(
    rt: Runtime, delay: float, user_id: str | None = None, client: Client | None = None
) -> int:
    """Send the notices that are due, of one user or of all; returns of how many recoveries."""
    async with rt.transaction() as tx:
        due = await tx.all(sql.DUE, BATCH, user_id)
        for request in due:
            owner = await tx.one(sql.OWNER, request.user_id)
            if not notices.reaches(tx, owner):
                # Its last contact is no longer verified: the owner could not cancel.
                await tx.execute(sql.CANCEL, request.user_id)
                await _record_cancelled(tx, request.user_id, reason="unreachable", actor=None, client=None)
                continue
            token = codes.new_token(rt.random_bytes)
            waiting = await tx.one(
                sql.BEGIN_NOTICE, request.user_id, _digest(token), NOTICE_LIFE, delay, WINDOW
            )
            await notices.tell(
                tx,
                owner,
                "recovery_requested" if request.first else "recovery_waiting",
                token=token,
                completes_at=waiting.completes_at,
                client=client,
                sent=partial(_outside(rt).execute, sql.END_NOTICE, request.user_id, _digest(token)),
            )
    return len(due)


def _outside(rt: Runtime) -> Runtime:
    """Return the Runtime for work that outlives the transaction of this one."""
    return dataclasses.replace(rt, store=rt.batched.store, waiting=None, host=None)


async def _lock(tx: Runtime, record: Record) -> Owner:
    """Lock the user's row; raise ``InvalidChallenge`` if the account changed since the first factor."""
    owner = await tx.maybe(sql.LOCK_OWNER, record.user_id)
    if owner is None or not owner.allowed or owner.auth_epoch != record.auth_epoch:
        raise errors.InvalidChallenge
    return owner


async def _cancel(
    tx: Runtime, user_id: str, *, reason: str, actor: str | None, client: Client | None
) -> bool:
    if await tx.maybe(sql.LOCK_OWNER, user_id) is None or not await tx.execute(sql.CANCEL, user_id):
        return False
    await _record_cancelled(tx, user_id, reason=reason, actor=actor, client=client)
    return True


async def _record_cancelled(
    tx: Runtime, user_id: str, *, reason: str, actor: str | None, client: Client | None
) -> None:
    await Events(tx).record(
        SessionEventType.RECOVERY_CANCELLED, actor=actor, user_id=user_id, method=reason, client=client
    )
    owner = await tx.one(sql.OWNER, user_id)
    # An operator is not the owner, whose acts alone have circumstances in a notice.
    await notices.tell(tx, owner, "recovery_cancelled", client=None if actor else client)


def _digest(token: str) -> str:
    """Return the plain digest of a token: 256 random bits need no key."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
