"""Password resets: a link, or a code if the sender cannot send links, to a verified contact.

A request does the same for every address and user name: one look-up, the same counters, a new request id and
a record. Everything that only a known one causes happens in the background. A record is bound to the epoch of
the account and to the address, and is void once either changes. ``password_update`` sets the new password and
ends every session.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.contact_proof import ContactProof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.rate_limits import RateLimits
from authkit_issuer.domains.codes.one_time import Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.credentials.identifier import Identifier
from authkit_issuer.domains.credentials.login_attempts import BUCKET, LOGIN, USER, LoginAttempts
from authkit_issuer.domains.credentials.password_update import PasswordUpdater
from authkit_issuer.domains.credentials.password_verifier import prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import NOT_BANNED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Resettable:
    """The user whose password may be reset, and the contacts through which."""

    user_id: str
    auth_epoch: int
    username: str
    email: str | None
    phone: str | None


# Deleted accounts too, if their owner may restore them: the reset proves who that is.
_MAY_RESET = f"(u.deleted_at is null or u.deleted_by_owner) and {NOT_BANNED}"


def _email_resets(required: str) -> str:
    """Return SQL that is true if the email address of ``u`` resets the password; a frozen one never does.

    ``required`` is the parameter that says if an unverified address gets no reset.
    """
    return f"(u.email_verified or (not {required} and u.email_frozen_at is null))"


_RESETTABLE = f"""
    select u.id::text as user_id, u.auth_epoch, coalesce(u.username, '') as username,
           case when {_email_resets("$2")} then u.email end as email,
           case when u.phone_verified then u.phone_number end as phone
    from profiles.users u where {_MAY_RESET}
"""

RESETTABLE_BY_EMAIL = Query(Resettable, _RESETTABLE + f"and lower(u.email) = $1 and {_email_resets('$2')}")

RESETTABLE_BY_PHONE = Query(Resettable, _RESETTABLE + "and u.phone_number = $1 and u.phone_verified")

RESETTABLE_BY_USERNAME = Query(Resettable, _RESETTABLE + "and lower(u.username) = $1")

# Found again by id, address and epoch, and locked: no row if the account has changed since.
LOCK_RESETTABLE_BY_EMAIL = Query(
    str,
    f"""
    select u.id::text from profiles.users u
    where u.id = $1::uuid and lower(u.email) = $2 and u.auth_epoch = $3 and {_MAY_RESET}
      and {_email_resets("$4")}
    for no key update
    """,
)

LOCK_RESETTABLE_BY_PHONE = Query(
    str,
    f"""
    select u.id::text from profiles.users u
    where u.id = $1::uuid and u.phone_number = $2 and u.phone_verified and u.auth_epoch = $3 and {_MAY_RESET}
    for no key update
    """,
)


_RECORD_KINDS = {EMAIL: "reset_email", PHONE: "reset_phone"}


@dataclass(frozen=True, slots=True)
class PasswordReset:
    """Sends and redeems password resets."""

    rt: Runtime

    async def request(
        self,
        contact: ContactKind,
        address: str,
        ttl: float | None,
        client: Client | None,
        *,
        actor: str | None = None,
    ) -> str:
        """Start a reset through an email address or phone number, and return its request id.

        ``actor`` is the operator who starts it for the user, for the event.
        """
        if contact.sender(self.rt.senders) is None:
            raise contact.unavailable
        target = contact.normalize(address)
        Messages(self.rt).require_reachable(contact, target)
        query = RESETTABLE_BY_EMAIL if contact is EMAIL else RESETTABLE_BY_PHONE
        found = await self.rt.maybe(query, target, self.rt.config.verification_required)
        return await self._start(contact, target, found, ttl, client, actor=actor)

    async def request_by_username(self, name: str, ttl: float | None, client: Client | None) -> str:
        """Start a reset through the contact of a user name, the email address first."""
        senders = self.rt.senders
        if senders.email is None and senders.sms is None:
            raise errors.EmailUnavailable
        username = Identifier.typed("username", name).text
        found = await self.rt.maybe(RESETTABLE_BY_USERNAME, username, self.rt.config.verification_required)
        contact, target = EMAIL if senders.email is not None else PHONE, ""
        if found is not None and senders.email is not None and found.email:
            target = found.email
        elif found is not None and senders.sms is not None and found.phone:
            contact, target = PHONE, found.phone
        return await self._start(
            contact, target or f"name {username}", found if target else None, ttl, client, username=username
        )

    async def _start(
        self,
        contact: ContactKind,
        target: str,
        found: Resettable | None,
        ttl: float | None,
        client: Client | None,
        *,
        username: str = "",
        actor: str | None = None,
    ) -> str:
        """Store a record, for an unknown contact too, and send its secret in the background."""
        if ttl is not None and not 0 < ttl < math.inf:
            # Checked here, because no caller sees an error of the background task.
            raise ValueError(f"ttl must be a positive number of seconds, not {ttl!r}")
        kind, codes = _RECORD_KINDS[contact], OneTimeCodes(self.rt)
        record = Record(
            kind=kind,
            request_id=codes.new_request_id(),
            target=target,
            user_id=found.user_id if found else "",
            auth_epoch=found.auth_epoch if found else 0,
            data={"username": username},
        )
        device = Devices(self.rt).trusted(client, found.user_id, found.auth_epoch) if found else None
        lives = self._lives(contact, ttl)
        issued = await codes.offer(record, lives, limit=kind, client=client, device=device)

        async def work() -> None:
            if found is not None and issued.to_be_sent:
                await self._send(contact, issued, found.username, client, actor)

        await Messages(self.rt).send_in_background(work, name="password reset", life=lives.record)
        return record.request_id

    def _lives(self, contact: ContactKind, ttl: float | None) -> Lives:
        senders, config = self.rt.senders, self.rt.config
        with_link = bool(senders.email_reset_link if contact is EMAIL else senders.sms_reset_link)
        life = ttl or (config.link_ttl if with_link else config.code_ttl)
        # Only the secret that is sent may be redeemed.
        return Lives(code=0.0 if with_link else life, link=life if with_link else 0.0, record=life)

    async def _send(
        self, contact: ContactKind, issued: Issued, username: str, client: Client | None, actor: str | None
    ) -> None:
        """Send the secret, then record the event."""
        await self._hand_over(contact, issued, username)
        await Events(self.rt).record(
            SessionEventType.PASSWORD_RECOVERY,
            actor=actor,
            user_id=issued.record.user_id,
            method="email" if contact is EMAIL else "sms",
            client=client,
        )

    async def _hand_over(self, contact: ContactKind, issued: Issued, username: str) -> None:
        target, senders = issued.record.target, self.rt.senders
        await Messages(self.rt).admit(contact, target)
        if contact is EMAIL and senders.email_reset_link:
            await senders.email_reset_link.send_password_reset_link(target, username, issued.link)
        elif contact is EMAIL and senders.email:
            await senders.email.send_password_reset_code(target, username, issued.code)
        elif senders.sms_reset_link:
            await senders.sms_reset_link.send_password_reset_link(target, issued.link)
        elif senders.sms:
            await senders.sms.send_verification_code(target, issued.code)

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
        await check_policy(self.rt, new)
        if presented.by == "username":
            kind, target = await self._asked_by(presented.text, request_id or "")
        else:
            kind, target = _RECORD_KINDS[EMAIL if presented.by == "email" else PHONE], presented.text
        redeemed = await OneTimeCodes(self.rt).redeem_code(kind, request_id, target, code)
        if not redeemed.user_id:
            raise errors.InvalidOrExpiredCode
        return await self._finish(redeemed, new, client, errors.InvalidOrExpiredCode)

    async def _asked_by(self, username: str, request_id: str) -> tuple[str, str]:
        """Return kind and target of the request that named this user; no code fits another target."""
        found = [await OneTimeCodes(self.rt).peek(kind, request_id) for kind in _RECORD_KINDS.values()]
        record = next((record for record in found if record is not None), None)
        if record is None:
            return _RECORD_KINDS[EMAIL], ""
        return record.kind, record.target if username and record.data.get("username") == username else ""

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
        lock = LOCK_RESETTABLE_BY_EMAIL if by_email else LOCK_RESETTABLE_BY_PHONE
        required = (self.rt.config.verification_required,) if by_email else ()
        async with self.rt.transaction() as tx:
            if await tx.maybe(lock, record.user_id, record.target, record.auth_epoch, *required) is None:
                raise void
            await ContactProof(tx).mark(
                record.user_id, EMAIL if by_email else PHONE, by_user=False, client=client
            )
            await PasswordUpdater(tx).store(
                record.user_id, new_hash, reason=SessionRevokeReason.PASSWORD_CHANGE, client=client
            )

    async def _unlock(self, record: Record) -> None:
        """Clear the counters, so that guesses do not keep the owner out; the password is set either way."""
        named = {"email" if record.kind == _RECORD_KINDS[EMAIL] else "phone": record.target}
        username = record.data.get("username")
        if username:
            named["username"] = username
        with suppress(errors.EphemeralStoreUnavailable):
            for by, identifier in named.items():
                await LoginAttempts(self.rt, LOGIN, f"{by}|{identifier}").clear()
                await RateLimits(self.rt).forget_account(BUCKET, identifier)
            await LoginAttempts(self.rt, USER, record.user_id).clear()
