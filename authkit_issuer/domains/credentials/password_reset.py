"""Password resets: a link, or a code where the sender cannot send links, to a contact that was proved.

Asking is alike for every address: the same look-up, the same counters and a fresh request id; what only a
known address brings about happens in the background. A record says at which epoch of the account, and for
which address, it was made, and is dead once either has moved.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.codes import OneTimeCodes, Record
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.credentials.login_attempts import LOGIN, USER, LoginAttempts
from authkit_issuer.domains.credentials.password_update import Setting
from authkit_issuer.domains.credentials.password_verifier import prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.domains.credentials.queries import Identifier
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement

EMAIL, PHONE = "reset_email", "reset_phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resettable:
    """Whose password a proof of the address may replace."""

    user_id: str
    auth_epoch: int
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What somebody asked for, in whatever way."""

    kind: str
    target: str
    request_id: str
    ttl: float | None
    client: Client | None


_RESETTABLE = f"""
    select u.id::text as user_id, u.auth_epoch, coalesce(u.username, '') as username
    from profiles.users u where {ALLOWED}
"""
BY_EMAIL = Query(Resettable, _RESETTABLE + "and lower(u.email) = $1 and (u.email_verified or not $2)")
BY_PHONE = Query(Resettable, _RESETTABLE + "and u.phone_number = $1 and u.phone_verified")
# Found again by id, address and epoch, and locked: a record whose account has changed finds nothing.
STILL_EMAIL = Query(
    str,
    f"""
    select u.id::text from profiles.users u
    where u.id = $1::uuid and lower(u.email) = $2 and u.auth_epoch = $3 and {ALLOWED} for no key update
    """,
)
STILL_PHONE = Query(
    str,
    f"""
    select u.id::text from profiles.users u
    where u.id = $1::uuid and u.phone_number = $2 and u.phone_verified and u.auth_epoch = $3 and {ALLOWED}
    for no key update
    """,
)
PROVED_EMAIL = Statement(
    "update profiles.users set email_verified = true where id = $1::uuid and not email_verified"
)


@dataclass(frozen=True, slots=True)
class Resets:
    """Sends and redeems password resets."""

    rt: Runtime

    async def request_email(self, email: str, ttl: float | None, client: Client | None) -> str:
        """Start a reset by mail and return its request id."""
        self.rt.refuse_joining("passwords.request_reset")
        if self.rt.email_sender is None:
            raise errors.EmailUnavailable
        target = identifiers.email(email)
        found = await self.rt.maybe(BY_EMAIL, target, self.rt.config.verification_required)
        return await self._start(self._asked(EMAIL, target, ttl, client), found)

    async def request_phone(self, phone: str, ttl: float | None, client: Client | None) -> str:
        """Start a reset by SMS and return its request id."""
        self.rt.refuse_joining("passwords.request_phone_reset")
        if self.rt.sms_sender is None:
            raise errors.SmsUnavailable
        target = identifiers.phone(phone)
        found = await self.rt.maybe(BY_PHONE, target)
        return await self._start(self._asked(PHONE, target, ttl, client), found)

    def _asked(self, kind: str, target: str, ttl: float | None, client: Client | None) -> _Asked:
        if ttl is not None and not 0 < ttl < math.inf:
            # Here and not where it is used: nobody is told what goes wrong in the background.
            raise ValueError("ttl must be a positive number of seconds")
        request_id = OneTimeCodes(self.rt).new_request_id()
        return _Asked(kind=kind, target=target, request_id=request_id, ttl=ttl, client=client)

    async def _start(self, asked: _Asked, found: Resettable | None) -> str:
        wait = await SendingLimits(self.rt).count(asked.kind, asked.target, asked.client)

        async def work() -> None:
            if found is not None and not wait:
                await self._send(asked, found)

        self.rt.background.start(work, name="password reset")
        return asked.request_id

    async def _send(self, asked: _Asked, found: Resettable) -> None:
        """Store the record, send its secret, then record that."""
        senders = self.rt.senders
        with_link = bool(senders.email_reset_link if asked.kind == EMAIL else senders.sms_reset_link)
        life = asked.ttl or (self.rt.config.link_ttl if with_link else self.rt.config.code_ttl)
        issued = await OneTimeCodes(self.rt).issue(
            asked.kind,
            target=asked.target,
            # Of the two only the one that is sent may be redeemed.
            code_ttl=0.0 if with_link else life,
            link_ttl=life if with_link else 0.0,
            record_ttl=life,
            request_id=asked.request_id,
            user_id=found.user_id,
            auth_epoch=found.auth_epoch,
        )
        async with asyncio.timeout(self.rt.config.send_timeout):
            await self._hand_over(asked, found.username, issued.code, issued.link)
        await Events(self.rt).record(
            SessionEventType.PASSWORD_RECOVERY,
            user_id=found.user_id,
            method="email" if asked.kind == EMAIL else "sms",
            client=asked.client,
        )

    async def _hand_over(self, asked: _Asked, username: str, code: str, link: str) -> None:
        kind, target, senders = asked.kind, asked.target, self.rt.senders
        if kind == EMAIL and senders.email_reset_link:
            await senders.email_reset_link.send_password_reset_link(target, username, link)
        elif kind == EMAIL and senders.email:
            await senders.email.send_password_reset_code(target, username, code)
        elif senders.sms_reset_link:
            await senders.sms_reset_link.send_password_reset_link(target, link)
        elif senders.sms:
            await senders.sms.send_verification_code(target, code)

    async def confirm_link(
        self, kind: str, token: str, new: str, client: Client | None, *, phone: str | None = None
    ) -> str:
        """Redeem a link token; for one sent to a phone its number must be named."""
        self.rt.refuse_joining("passwords.confirm_reset")
        record = await OneTimeCodes(self.rt).find_link(kind, token)
        if phone is not None and record.target != Identifier.typed("phone", phone).text:
            raise errors.InvalidOrExpiredToken
        await check_policy(self.rt, new)
        redeemed = await OneTimeCodes(self.rt).redeem_link(kind, token)
        return await self._finish(redeemed, new, client, errors.InvalidOrExpiredToken)

    async def confirm_code(
        self, identifier: str, code: str, new: str, request_id: str | None, client: Client | None
    ) -> str:
        """Redeem a code."""
        self.rt.refuse_joining("passwords.confirm_reset_code")
        known = Identifier.of(identifier)
        kind, target = EMAIL if known.by == "email" else PHONE, known.text
        if await OneTimeCodes(self.rt).peek(kind, request_id or "") is None:
            raise errors.InvalidOrExpiredCode
        await check_policy(self.rt, new)
        redeemed = await OneTimeCodes(self.rt).redeem_code(kind, request_id, target, code)
        return await self._finish(redeemed, new, client, errors.InvalidOrExpiredCode)

    async def _finish(
        self, record: Record, new: str, client: Client | None, dead: type[errors.AuthError]
    ) -> str:
        """Set the password; the record is restored if storage or the hashing pool fails."""
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            new_hash = await self.rt.hasher.hash(new, client=prefix(client))
            await self._set(record, new_hash, client, dead)
        await self._unlock(record)
        return record.user_id

    async def _set(
        self, record: Record, new_hash: str, client: Client | None, dead: type[errors.AuthError]
    ) -> None:
        still = STILL_EMAIL if record.kind == EMAIL else STILL_PHONE
        async with self.rt.transaction() as tx:
            if await tx.maybe(still, record.user_id, record.target, record.auth_epoch) is None:
                raise dead
            if record.kind == EMAIL:
                await tx.execute(PROVED_EMAIL, record.user_id)
            await Setting(tx).store(
                record.user_id, new_hash, reason=SessionRevokeReason.PASSWORD_CHANGE, client=client
            )

    async def _unlock(self, record: Record) -> None:
        """Let the owner in who was kept out by somebody's guesses; the password is set either way."""
        by = "email" if record.kind == EMAIL else "phone"
        with suppress(errors.EphemeralStoreUnavailable):
            await LoginAttempts(self.rt, LOGIN, f"{by}|{record.target}").clear()
            await LoginAttempts(self.rt, USER, record.user_id).clear()
