"""Contact changes: a signed-in user replaces their email address or phone number.

The new contact is pending until its code is redeemed; the old one stays in force and verified, and no
other account is blocked. There is one pending change per user and kind. It ends when the contact that it
replaces, or the account's epoch, changes. The caller checks the password first.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.contact_proof import ContactProof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import CONTACT_KINDS, EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, raises
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED, FACTOR_ON
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactOwner:
    """The account as a contact change finds it; ``current`` is the contact to be replaced."""

    user_id: str
    auth_epoch: int
    allowed: bool
    username: str | None
    email: str | None
    two_factor: bool
    """Sign-in codes go to the email address."""
    current: str | None
    verified: bool


_OWNER = {
    kind: f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, u.username, u.email,
           exists (
               select from profiles.second_factors f
               join profiles.two_factor_settings t on t.user_id = f.user_id
               where f.user_id = u.id and f.kind = 'email' and {FACTOR_ON}
           ) as two_factor,
           u.{kind.column} as current, u.{kind.verified_column} as verified
    from profiles.users u where u.id = $1::uuid
    """
    for kind in CONTACT_KINDS
}

FIND_OWNER = {kind: Query(ContactOwner, sql) for kind, sql in _OWNER.items()}

LOCK_OWNER = {kind: Query(ContactOwner, f"{sql} for no key update of u") for kind, sql in _OWNER.items()}

IS_TAKEN = {
    kind: Query(bool, f"select exists (select from profiles.users u where {kind.lookup} = $1)")
    for kind in CONTACT_KINDS
}


__all__ = ["ContactChanges", "PendingContacts"]

UNCHANGED = {EMAIL: errors.EmailUnchanged, PHONE: errors.PhoneUnchanged}
NOTHING_PENDING = {EMAIL: errors.NoPendingEmailChange, PHONE: errors.NoPendingPhoneChange}


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingContacts:
    """The contacts that wait for their codes; None for no change."""

    email: str | None = None
    phone_number: str | None = None


@dataclass(frozen=True, slots=True)
class ContactChanges:
    """Takes changes of contacts and confirms them. A change cannot run inside a transaction."""

    rt: Runtime

    @raises(
        errors.InvalidEmail,
        errors.EmailUnchanged,
        errors.EmailInUse,
        *EMAIL_SENDING,
        errors.TooManyRequests,
        errors.EphemeralStoreUnavailable,
    )
    async def request_email(self, user_id: str, new_email: str, *, client: Client | None = None) -> None:
        """Send a code to the new address, and a notice to the current one if the sender supports notices.

        Replaces a pending change.

        Raises:
            EmailUnavailable: There is no email sender.
            InvalidEmail: The text is no address.
            UserNotFound: the user does not exist.
            UserBanned: The user is banned.
            EmailUnchanged: The account has this address already.
            EmailInUse: Another account has it.
            TooManyRequests: Beyond the sending limits.
            EmailDeliveryFailed: The sender failed; the change is stored.
        """
        await self._request(EMAIL, user_id, new_email, client)

    @raises(errors.InvalidOrExpiredCode, errors.EmailInUse, errors.EphemeralStoreUnavailable)
    async def confirm_email(
        self,
        user_id: str,
        code: str,
        *,
        keep_session_id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Put the new address in force, verified, and send a notice to the old one.

        With ``contact_change_ends_sessions`` every session but ``keep_session_id`` ends in the same
        transaction. If storage fails the code stays valid.

        Raises:
            InvalidOrExpiredCode: The code is wrong, used or expired, or the account changed meanwhile.
            EmailInUse: Another account has taken the address meanwhile.
        """
        await self._confirm(EMAIL, user_id, None, code, client, keep_session_id)

    @raises(
        errors.NoPendingEmailChange, *EMAIL_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable
    )
    async def resend_email(self, user_id: str, *, client: Client | None = None) -> None:
        """Send a new code to the new address; the earlier code is no longer valid.

        Raises ``NoPendingEmailChange``, ``TooManyRequests``, ``EmailDeliveryFailed``.
        """
        await self._resend(EMAIL, user_id, None, client)

    @raises(errors.EphemeralStoreUnavailable)
    async def cancel_email(self, user_id: str) -> None:
        """Drop the pending change of the address; does nothing without one."""
        await self._cancel(EMAIL, user_id)

    async def get_pending_email(self, user_id: str) -> str | None:
        """The address that waits for its code, or None; raises ``UserNotFound``, ``UserBanned``."""
        return await self._pending(EMAIL, user_id)

    @raises(
        errors.InvalidPhoneNumber,
        errors.PhoneUnchanged,
        errors.PhoneInUse,
        *SMS_SENDING,
        errors.TooManyRequests,
        errors.EphemeralStoreUnavailable,
    )
    async def request_phone(self, user_id: str, new_phone: str, *, client: Client | None = None) -> None:
        """Send a code to the new number, as ``request_email`` with ``Phone*`` and ``Sms*`` errors."""
        await self._request(PHONE, user_id, new_phone, client)

    @raises(errors.InvalidOrExpiredCode, errors.PhoneInUse, errors.EphemeralStoreUnavailable)
    async def confirm_phone(
        self,
        user_id: str,
        phone: str,
        code: str,
        *,
        keep_session_id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Put the new number in force, verified, as ``confirm_email`` with ``PhoneInUse``."""
        await self._confirm(PHONE, user_id, phone, code, client, keep_session_id)

    @raises(
        errors.NoPendingPhoneChange, *SMS_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable
    )
    async def resend_phone(self, user_id: str, phone: str, *, client: Client | None = None) -> None:
        """Send a new code to the new number; raises ``NoPendingPhoneChange`` unless it is this one."""
        await self._resend(PHONE, user_id, phone, client)

    @raises(errors.EphemeralStoreUnavailable)
    async def cancel_phone(self, user_id: str) -> None:
        """Drop the pending change of the number; does nothing without one."""
        await self._cancel(PHONE, user_id)

    async def get_pending_phone(self, user_id: str) -> str | None:
        """The number that waits for its code, or None; raises ``UserNotFound``, ``UserBanned``."""
        return await self._pending(PHONE, user_id)

    async def list_pending(self, user_id: str) -> PendingContacts:
        """Return both, for a user who is known to be allowed; needs no query if nothing is pending.

        Raises ``EphemeralStoreUnavailable``.
        """
        known = identifiers.uuid_or_none(user_id)
        if known is None:
            return PendingContacts()
        kinds = [_record_kind(EMAIL), _record_kind(PHONE)]
        email, phone = await OneTimeCodes(self.rt).are_stored(kinds, known)
        return PendingContacts(
            email=await self._pending(EMAIL, known) if email else None,
            phone_number=await self._pending(PHONE, known) if phone else None,
        )

    async def _request(self, kind: ContactKind, user_id: str, text: str, client: Client | None) -> None:
        self.rt.refuse_joining(f"contact_changes.request_{kind.name}")
        Messages(self.rt).require(kind)
        target, owner = kind.normalize(text), await self._owner(kind, user_id)
        Messages(self.rt).require_reachable(kind, target)
        if target == owner.current:
            raise UNCHANGED[kind](param=kind.param)
        # Counted before the look-up, whose answer tells a signed-in user of other accounts.
        await SendingLimits(self.rt).check_user(_record_kind(kind), owner.user_id)
        if await self.rt.one(IS_TAKEN[kind], target):
            raise kind.in_use(param=kind.param)
        await SendingLimits(self.rt).check(kind.limit, target, client)
        lives = self._lives(kind)
        issued = await OneTimeCodes(self.rt).issue(
            _record_kind(kind),
            request_id=owner.user_id,
            target=target,
            code_ttl=lives.code,
            record_ttl=lives.record,
            user_id=owner.user_id,
            auth_epoch=owner.auth_epoch,
            data={"old": owner.current or "", "username": owner.username or ""},
        )
        await Events(self.rt).record(
            SessionEventType.CONTACT_CHANGE_REQUESTED,
            actor=None,
            user_id=owner.user_id,
            method=kind.name,
            client=client,
        )
        await self._send(kind, issued, client)

    async def _resend(self, kind: ContactKind, user_id: str, text: str | None, client: Client | None) -> None:
        """Send a new code for the pending change, which must be the one to ``text`` if that is given."""
        self.rt.refuse_joining(f"contact_changes.resend_{kind.name}")
        Messages(self.rt).require(kind)
        record = await self._record(kind, await self._owner(kind, user_id))
        if record is None or (text is not None and text.strip() != record.target):
            raise NOTHING_PENDING[kind]
        await SendingLimits(self.rt).check(kind.limit, record.target, client)
        await SendingLimits(self.rt).check_user(record.kind, record.user_id)
        issued = await OneTimeCodes(self.rt).renew(record, self._lives(kind))
        if issued is None:
            raise NOTHING_PENDING[kind]
        await self._send(kind, issued, client)

    async def _confirm(  # noqa: PLR0917 - what the two public methods take
        self,
        kind: ContactKind,
        user_id: str,
        text: str | None,
        code: str,
        client: Client | None,
        keep_session_id: str | None,
    ) -> None:
        self.rt.refuse_joining(f"contact_changes.confirm_{kind.name}")
        known = identifiers.uuid_or_none(user_id)
        target = None if text is None else text.strip()
        record = await OneTimeCodes(self.rt).redeem_code(_record_kind(kind), known, target, code)
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            await self._change(kind, record, client, keep_session_id)

    async def _cancel(self, kind: ContactKind, user_id: str) -> None:
        known = identifiers.uuid_or_none(user_id)
        if known is not None:
            await OneTimeCodes(self.rt).forget(_record_kind(kind), known)

    async def _pending(self, kind: ContactKind, user_id: str) -> str | None:
        record = await self._record(kind, await self._owner(kind, user_id))
        return None if record is None else record.target

    async def _owner(self, kind: ContactKind, user_id: str) -> ContactOwner:
        known = identifiers.uuid_or_none(user_id)
        owner = await self.rt.maybe(FIND_OWNER[kind], known) if known else None
        if owner is None:
            raise errors.UserNotFound
        if not owner.allowed:
            raise errors.UserBanned
        return owner

    async def _record(self, kind: ContactKind, owner: ContactOwner) -> Record | None:
        """The record of the pending change, unless the account has changed since."""
        record = await OneTimeCodes(self.rt).peek(_record_kind(kind), owner.user_id)
        return record if record is not None and _is_current(record, owner) else None

    async def _send(self, kind: ContactKind, issued: Issued, client: Client | None) -> None:
        messages, to, name = Messages(self.rt), issued.record.target, issued.record.data["username"]
        async with SendingLimits(self.rt).sending(kind.limit, to, client):
            await messages.send(kind, messages.verification(kind, to, name, issued.code))

    async def _change(
        self, kind: ContactKind, record: Record, client: Client | None, keep_session_id: str | None
    ) -> None:
        """Write contact, event and, if so configured, the end of other sessions in one transaction.

        A repeated call succeeds.
        """
        async with self.rt.transaction() as tx:
            before = await tx.maybe(LOCK_OWNER[kind], record.user_id)
            if before is not None and before.current == record.target and before.verified:
                return
            if before is None or not _is_current(record, before):
                raise errors.InvalidOrExpiredCode
            data: dict[str, object] = {"before": before.current, "after": record.target}
            if await ContactProof(tx).replace(record.user_id, kind, record.target, proved=True):
                data["two_factor"] = True
            await Events(tx).record(
                SessionEventType.CONTACT_CHANGED,
                actor=None,
                user_id=record.user_id,
                method=kind.name,
                client=client,
                data=data,
            )
            if self.rt.config.contact_change_ends_sessions:
                await Sessions(tx).revoke_all(
                    record.user_id, keep_session_id, reason=SessionRevokeReason.CONTACT_CHANGE, client=client
                )

    def _lives(self, kind: ContactKind) -> Lives:
        life = kind.pending_ttl(self.rt.config)
        return Lives(code=min(self.rt.config.code_ttl, life), record=life)


def _record_kind(kind: ContactKind) -> str:
    return f"change_{kind.name}"


def _is_current(record: Record, owner: ContactOwner) -> bool:
    """True if the account is as it was when the change was requested."""
    if not owner.allowed or owner.auth_epoch != record.auth_epoch:
        return False
    return (owner.current or "") in {record.data["old"], record.target}
