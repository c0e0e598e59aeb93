"""One change of a contact, from the request to the proof."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.codes import Lives, OneTimeCodes, Record
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.sessions.queries import RAISE_EPOCH
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.domains.signup.contacts import EMAIL, Contact, Owner
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Changing:
    """Holds the new contact in a record of the user's until it is proved; the old one stays in force."""

    rt: Runtime
    contact: Contact

    async def request(self, user_id: str, text: str, client: Client | None) -> None:
        """Store the change and send its code to the new contact."""
        self.rt.refuse_joining(f"contact_changes.request_{self.contact.name}")
        Messages(self.rt).require(self.contact.name)
        target, owner = self.contact.normal(text), await self._owner(user_id)
        if target == owner.current:
            raise self.contact.unchanged(param=self.contact.param)
        # Counted before the look-up, whose answer tells a signed-in user of other accounts.
        await SendingLimits(self.rt).check_user(self.contact.kind, owner.user_id)
        if await self.rt.one(self.contact.taken, target):
            raise self.contact.in_use(param=self.contact.param)
        await SendingLimits(self.rt).check(self.contact.limit, target, client)
        lives = self._lives()
        issued = await OneTimeCodes(self.rt).issue(
            self.contact.kind,
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
            user_id=owner.user_id,
            method=self.contact.name,
            client=client,
        )
        kind = f"{self.contact.name}_change_requested"
        await Messages(self.rt).notify(owner.email, owner.username, kind)
        await self._send(issued.record, issued.code)

    async def resend(self, user_id: str, text: str | None, client: Client | None) -> None:
        """Send a new code for the pending change, which must be the one to ``text`` where that is given."""
        self.rt.refuse_joining(f"contact_changes.resend_{self.contact.name}")
        Messages(self.rt).require(self.contact.name)
        record = await self._pending(await self._owner(user_id))
        if record is None or (text is not None and text.strip() != record.target):
            raise self.contact.nothing_pending
        await SendingLimits(self.rt).check(self.contact.limit, record.target, client)
        await SendingLimits(self.rt).check_user(self.contact.kind, record.user_id)
        issued = await OneTimeCodes(self.rt).renew(record, self._lives())
        if issued is None:
            raise self.contact.nothing_pending
        await self._send(issued.record, issued.code)

    async def confirm(
        self, user_id: str, text: str | None, code: str, client: Client | None, keep_session_id: str | None
    ) -> None:
        """Redeem the code and put the new contact in force."""
        self.rt.refuse_joining(f"contact_changes.confirm_{self.contact.name}")
        known = identifiers.user_id(user_id)
        target = None if text is None else text.strip()
        record = await OneTimeCodes(self.rt).redeem_code(self.contact.kind, known, target, code)
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            before = await self._change(record, client, keep_session_id)
        await self._tell(record, before)

    async def cancel(self, user_id: str) -> None:
        """Drop the pending change; its code is worth nothing from here on."""
        known = identifiers.user_id(user_id)
        if known is not None:
            await OneTimeCodes(self.rt).forget(self.contact.kind, known)

    async def pending(self, user_id: str) -> str | None:
        """Return the contact that waits for its proof, or None."""
        record = await self._pending(await self._owner(user_id))
        return None if record is None else record.target

    async def glance(self, user_id: str) -> str | None:
        """Return the same, asking the database only where something waits."""
        known = identifiers.user_id(user_id)
        if known is None or await OneTimeCodes(self.rt).peek(self.contact.kind, known) is None:
            return None
        return await self.pending(known)

    async def _owner(self, user_id: str) -> Owner:
        known = identifiers.user_id(user_id)
        owner = await self.rt.maybe(self.contact.owner, known) if known else None
        if owner is None:
            raise errors.UserNotFound
        if not owner.allowed:
            raise errors.UserBanned
        return owner

    async def _pending(self, owner: Owner) -> Record | None:
        """Return the record unless the account has moved on since it was made."""
        record = await OneTimeCodes(self.rt).peek(self.contact.kind, owner.user_id)
        return record if record is not None and _still_stands(record, owner) else None

    async def _send(self, record: Record, code: str) -> None:
        messages, username = Messages(self.rt), record.data["username"]
        sending = messages.verification(self.contact.name, record.target, username, code)
        await messages.insist(self.contact.name, sending)

    async def _change(self, record: Record, client: Client | None, keep_session_id: str | None) -> Owner:
        """Write contact, event and, where the configuration says so, the end of other sessions at once.

        Returns the account as it was before; done before counts as done.
        """
        async with self.rt.transaction() as tx:
            before = await tx.maybe(self.contact.hold, record.user_id)
            if before is not None and before.current == record.target and before.verified:
                return before
            if before is None or not _still_stands(record, before):
                raise errors.InvalidOrExpiredCode
            await tx.execute(self.contact.change, record.user_id, record.target)
            await Events(tx).record(
                SessionEventType.CONTACT_CHANGED,
                user_id=record.user_id,
                method=self.contact.name,
                client=client,
            )
            if self.contact is EMAIL and before.two_factor:
                # Codes go elsewhere from here on: no sign-in under way, and no device, knows this factor.
                await tx.execute(RAISE_EPOCH, record.user_id)
            if self.rt.config.contact_change_ends_sessions:
                await Sessions(tx).revoke_all(
                    record.user_id, keep_session_id, reason=SessionRevokeReason.CONTACT_CHANGE, client=client
                )
        return before

    async def _tell(self, record: Record, before: Owner) -> None:
        """Tell the old address, which may be the only one that still reaches the rightful owner."""
        messages, by_email = Messages(self.rt), self.contact is EMAIL
        told = record.data["old"] if by_email else before.email
        await messages.notify(told, before.username, f"{self.contact.name}_changed")
        if by_email and before.two_factor:
            await messages.notify(record.target, before.username, "two_factor_email_changed")

    def _lives(self) -> Lives:
        life = self.contact.life(self.rt.config)
        return Lives(code=min(self.rt.config.code_ttl, life), record=life)


def _still_stands(record: Record, owner: Owner) -> bool:
    """Tell whether the account is as it was when the change was asked for."""
    if not owner.allowed or owner.auth_epoch != record.auth_epoch:
        return False
    return (owner.current or "") in {record.data["old"], record.target}
