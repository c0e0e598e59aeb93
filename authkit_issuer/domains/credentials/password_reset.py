"""Password resets: a link, or a code if the sender cannot send links, to a verified contact.

A request does the same for every address: one look-up, the same counters and a new request id. Everything
that only a known address causes happens in the background. A record is bound to the epoch of the account and
to the address, and is void once either changes.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import OneTimeCodes, Record
from authkit_issuer.domains.credentials import queries as sql
from authkit_issuer.domains.credentials.identifier import Identifier
from authkit_issuer.domains.credentials.login_attempts import LOGIN, USER, LoginAttempts
from authkit_issuer.domains.credentials.password_update import PasswordUpdater
from authkit_issuer.domains.credentials.password_verifier import prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.domains.credentials.queries import Resettable
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

_RECORD_KINDS = {EMAIL: "reset_email", PHONE: "reset_phone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ResetRequest:
    """A request for a reset, whether or not its address belongs to an account."""

    contact: ContactKind
    target: str
    request_id: str
    ttl: float | None
    client: Client | None

    @property
    def kind(self) -> str:
        """The kind of its record, and of its sending limit."""
        return _RECORD_KINDS[self.contact]


@dataclass(frozen=True, slots=True)
class PasswordReset:
    """Sends and redeems password resets."""

    rt: Runtime

    async def request(
        self, contact: ContactKind, address: str, ttl: float | None, client: Client | None
    ) -> str:
        """Start a reset through an email address or phone number, and return its request id."""
        if contact.sender(self.rt.senders) is None:
            raise contact.unavailable
        target = contact.normalize(address)
        Messages(self.rt).require_reachable(contact, target)
        if contact is EMAIL:
            found = await self.rt.maybe(sql.RESETTABLE_BY_EMAIL, target, self.rt.config.verification_required)
        else:
            found = await self.rt.maybe(sql.RESETTABLE_BY_PHONE, target)
        if ttl is not None and not 0 < ttl < math.inf:
            # Checked here, because no caller sees an error of the background task.
            raise ValueError(f"ttl must be a positive number of seconds, not {ttl!r}")
        request_id = OneTimeCodes(self.rt).new_request_id()
        request = _ResetRequest(contact=contact, target=target, request_id=request_id, ttl=ttl, client=client)
        return await self._start(request, found)

    async def _start(self, request: _ResetRequest, found: Resettable | None) -> str:
        wait = await SendingLimits(self.rt).count(request.kind, request.target, request.client)

        async def work() -> None:
            if found is not None and not wait:
                await self._send(request, found)

        self.rt.background.start(work, name="password reset")
        return request.request_id

    async def _send(self, request: _ResetRequest, found: Resettable) -> None:
        """Store the record, send its secret, then record the event."""
        senders = self.rt.senders
        with_link = bool(senders.email_reset_link if request.contact is EMAIL else senders.sms_reset_link)
        life = request.ttl or (self.rt.config.link_ttl if with_link else self.rt.config.code_ttl)
        issued = await OneTimeCodes(self.rt).issue(
            request.kind,
            target=request.target,
            # Only the secret that is sent may be redeemed.
            code_ttl=0.0 if with_link else life,
            link_ttl=life if with_link else 0.0,
            record_ttl=life,
            request_id=request.request_id,
            user_id=found.user_id,
            auth_epoch=found.auth_epoch,
        )
        async with asyncio.timeout(self.rt.config.send_timeout):
            await self._hand_over(request, found.username, issued.code, issued.link)
        await Events(self.rt).record(
            SessionEventType.PASSWORD_RECOVERY,
            actor=None,
            user_id=found.user_id,
            method="email" if request.contact is EMAIL else "sms",
            client=request.client,
        )

    async def _hand_over(self, request: _ResetRequest, username: str, code: str, link: str) -> None:
        contact, target, senders = request.contact, request.target, self.rt.senders
        Messages(self.rt).require_reachable(contact, target)
        if contact is EMAIL and senders.email_reset_link:
            await senders.email_reset_link.send_password_reset_link(target, username, link)
        elif contact is EMAIL and senders.email:
            await senders.email.send_password_reset_code(target, username, code)
        elif senders.sms_reset_link:
            await senders.sms_reset_link.send_password_reset_link(target, link)
        elif senders.sms:
            await senders.sms.send_verification_code(target, code)

    async def confirm_link(
        self, contact: ContactKind, token: str, new: str, client: Client | None, *, phone: str | None = None
    ) -> str:
        """Redeem a link token; for one sent to a phone, ``phone`` must be its number."""
        self.rt.refuse_joining("passwords.confirm_reset")
        kind = _RECORD_KINDS[contact]
        await check_policy(self.rt, new)
        record = await OneTimeCodes(self.rt).find_link(kind, token)
        if phone is not None and record.target != Identifier.typed("phone", phone).text:
            raise errors.InvalidOrExpiredToken
        redeemed = await OneTimeCodes(self.rt).redeem_link(kind, token)
        return await self._finish(redeemed, new, client, errors.InvalidOrExpiredToken)

    async def confirm_code(
        self, identifier: str, code: str, new: str, request_id: str | None, client: Client | None
    ) -> str:
        """Redeem a code.

        The new password is checked first, whether or not the request has a record: another order would show
        which addresses have an account.
        """
        self.rt.refuse_joining("passwords.confirm_reset_code")
        presented = Identifier.of(identifier)
        contact, target = EMAIL if presented.by == "email" else PHONE, presented.text
        await check_policy(self.rt, new)
        redeemed = await OneTimeCodes(self.rt).redeem_code(_RECORD_KINDS[contact], request_id, target, code)
        return await self._finish(redeemed, new, client, errors.InvalidOrExpiredCode)

    async def _finish(
        self, record: Record, new: str, client: Client | None, void: type[errors.AuthError]
    ) -> str:
        """Set the password; the record is restored if storage or the hashing pool fails."""
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            new_hash = await self.rt.hasher.hash(new, client=prefix(client))
            await self._set(record, new_hash, client, void)
        await self._unlock(record)
        return record.user_id

    async def _set(
        self, record: Record, new_hash: str, client: Client | None, void: type[errors.AuthError]
    ) -> None:
        by_email = record.kind == _RECORD_KINDS[EMAIL]
        lock = sql.LOCK_RESETTABLE_BY_EMAIL if by_email else sql.LOCK_RESETTABLE_BY_PHONE
        async with self.rt.transaction() as tx:
            if await tx.maybe(lock, record.user_id, record.target, record.auth_epoch) is None:
                raise void
            if by_email:
                await tx.execute(sql.VERIFY_EMAIL, record.user_id)
            await PasswordUpdater(tx).store(
                record.user_id, new_hash, reason=SessionRevokeReason.PASSWORD_CHANGE, client=client
            )

    async def _unlock(self, record: Record) -> None:
        """Clear the counters, so that guesses do not keep the owner out; the password is set either way."""
        by = "email" if record.kind == _RECORD_KINDS[EMAIL] else "phone"
        with suppress(errors.EphemeralStoreUnavailable):
            await LoginAttempts(self.rt, LOGIN, f"{by}|{record.target}").clear()
            await LoginAttempts(self.rt, USER, record.user_id).clear()
