"""Verification: an existing account proves that its email address or phone number is its owner's.

It marks the contact and signs no user in. Otherwise, for an account that somebody else made over a foreign
address, the owner's proof would open the account to the password of its maker. For the same reason, an
account with a password, which may come from an import, or that is in use is credited with a proof only if its
own user made it: the request or the answer came in a session of the account, or with its password.
``credentials.obstacles`` refuses the logins of unverified accounts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.contact_proof import ContactProof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.asking_session import is_live
from authkit_issuer.domains.base.contacts import CONTACT_KINDS, EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import Issued, Lives, OneTimeCodes, Record, on_outage
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.domains.signup.queries import LOCK_HOLDER, USAGE
from authkit_issuer.errors.declared import STORES, raises
from authkit_issuer.event_types import CONTACT_OWNER, SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactHolder:
    """An account that may act, and whether the contact it was found by is verified."""

    user_id: str
    auth_epoch: int
    username: str | None
    verified: bool


FIND_HOLDER = {
    kind: Query(
        ContactHolder,
        f"""
        select u.id::text as user_id, u.auth_epoch, u.username, u.{kind.verified_column} as verified
        from profiles.users u where {kind.lookup} = $1 and {ALLOWED}
        """,
    )
    for kind in CONTACT_KINDS
}


_ASKED_BY_USER = {"asked_by": "user"}
"""The data of a record whose request was made in a session of the account."""

_CONFIRMING = (errors.AccountProofRequired, errors.TooManyRequests, errors.ServerBusy, *STORES)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Presented:
    """What shows that the caller is the user of the account."""

    user_id: str | None
    session_id: str | None
    password: str | None = field(default=None, repr=False)
    client: Client | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Sends codes to the contacts of existing accounts and redeems them."""

    rt: Runtime

    @raises(errors.InvalidEmail, errors.EmailUnavailable, *STORES)
    async def request_email(
        self,
        email: str,
        ttl: float | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Send a code, and a link if the sender supports links, to an unverified address of an account.

        An unknown or verified address gets a request id too, after the same work, and no message. A request
        beyond the sending limits gets none either; its id works with the code that was sent last.

        Args:
            email: The address to verify.
            ttl: Seconds until code and link expire; ``code_ttl`` and ``link_ttl`` by default.
            user_id: The user in whose session the request was made; the code then proves by itself that it
                is this user's account.
            session_id: That session. It counts only while it is live.
            client: Where the request came from; the sending limits count by it.

        Returns:
            The request id that goes with the code.
        """
        presented = _Presented(user_id=user_id, session_id=session_id, client=client)
        return await self._request(EMAIL, email, ttl, presented)

    @raises(errors.InvalidPhoneNumber, errors.SmsUnavailable, *STORES)
    async def request_phone(
        self,
        phone: str,
        ttl: float | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Send a code to an unverified number of an account, as ``request_email``."""
        presented = _Presented(user_id=user_id, session_id=session_id, client=client)
        return await self._request(PHONE, phone, ttl, presented)

    async def send_phone(
        self, phone: str, user_id: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a code to a signed-in user's own number and return the request id.

        A verified number gets no message. Args as ``request_email``.

        Raises:
            SmsUnavailable: There is no SMS sender.
            UserNotFound: The number is not this user's.
            TooManyRequests: Beyond the sending limits.
            SmsDeliveryFailed: The sender failed.
        """
        self.rt.refuse_joining("verification.send_phone")
        Messages(self.rt).require(PHONE)
        number, known = identifiers.phone(phone), identifiers.uuid_or_none(user_id)
        Messages(self.rt).require_reachable(PHONE, number)
        found = await self.rt.maybe(FIND_HOLDER[PHONE], number) if known else None
        if found is None or found.user_id != known:
            raise errors.UserNotFound
        if found.verified:
            return OneTimeCodes(self.rt).new_request_id()
        await SendingLimits(self.rt).check(PHONE.limit, number, client)
        life = ttl or self.rt.config.code_ttl
        issued = await OneTimeCodes(self.rt).issue(
            _record_kind(PHONE),
            target=number,
            code_ttl=life,
            record_ttl=life,
            user_id=found.user_id,
            auth_epoch=found.auth_epoch,
            data=_ASKED_BY_USER,
        )
        async with SendingLimits(self.rt).sending(PHONE.limit, number, client):
            await Messages(self.rt).send(PHONE, self._message(PHONE, issued, ""))
        return issued.record.request_id

    @raises(*_CONFIRMING, errors.InvalidOrExpiredCode, errors.AlreadyConfirmed, errors.EmailInUse)
    async def confirm_email(
        self,
        email: str,
        code: str,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        password: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Mark the address as verified and return the user id; no user is signed in.

        If storage fails the code stays valid. Not inside a transaction: a wrong try must be counted.

        Args:
            email: The address.
            code: The code that was sent to it.
            request_id: The id that the request returned.
            user_id: The user in whose session the code is presented.
            session_id: That session. It counts only while it is live.
            password: The password of the account, in place of a session.
            client: The client, for the limits on wrong passwords.

        Raises:
            InvalidOrExpiredCode: The code is wrong, used, expired or another request's, or the account has
                another address or epoch since.
            AlreadyConfirmed: The code is right and has confirmed the address before.
            AccountProofRequired: The account has a password or is in use, and neither the request nor this
                call came from its user. The code stays valid.
        """
        presented = _Presented(user_id=user_id, session_id=session_id, password=password, client=client)
        return await self._confirm_code(EMAIL, email, code, request_id, presented)

    @raises(*_CONFIRMING, errors.InvalidOrExpiredToken, errors.EmailInUse)
    async def confirm_email_link(
        self,
        token: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        password: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Mark the address as verified by the token of an emailed link and return the user id.

        Args and errors as ``confirm_email``; the session of the request does not count here.
        """
        self.rt.refuse_joining("verification.confirm_email_link")
        record = await OneTimeCodes(self.rt).redeem_link(_record_kind(EMAIL), token)
        presented = _Presented(user_id=user_id, session_id=session_id, password=password, client=client)
        by_user = await self._is_user(record, presented)
        return await self._mark_verified(EMAIL, record, errors.InvalidOrExpiredToken, by_user=by_user)

    @raises(errors.InvalidOrExpiredToken, *STORES)
    async def deny_email_link(self, token: str, *, client: Client | None = None) -> None:
        """Use up the token of a link to another person's account, and end the sessions of that account."""
        self.rt.refuse_joining("verification.deny_email_link")
        record = await OneTimeCodes(self.rt).redeem_link(_record_kind(EMAIL), token)
        async with OneTimeCodes(self.rt).restore_on_outage(record), self.rt.transaction() as tx:
            user_id = await tx.maybe(LOCK_HOLDER[EMAIL], record.user_id, record.target, record.auth_epoch)
            if user_id is None:
                raise errors.InvalidOrExpiredToken
            # Named as the actor: the user of the account must not see from where this person answered.
            await Sessions(tx).revoke_all(
                user_id, reason=SessionRevokeReason.CONTACT_DENIED, actor=CONTACT_OWNER, client=client
            )
            await Events(tx).record(
                SessionEventType.CONTACT_DENIED,
                actor=CONTACT_OWNER,
                user_id=user_id,
                method=EMAIL.name,
                client=client,
            )

    @raises(*_CONFIRMING, errors.InvalidOrExpiredCode, errors.AlreadyConfirmed, errors.PhoneInUse)
    async def confirm_phone(
        self,
        phone: str,
        code: str,
        *,
        request_id: str | None = None,
        user_id: str | None = None,
        session_id: str | None = None,
        password: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Mark the number as verified, as ``confirm_email``."""
        presented = _Presented(user_id=user_id, session_id=session_id, password=password, client=client)
        await self._confirm_code(PHONE, phone, code, request_id, presented)

    async def _request(self, kind: ContactKind, text: str, ttl: float | None, presented: _Presented) -> str:
        self.rt.refuse_joining(f"verification.request_{kind.name}")
        Messages(self.rt).require(kind)
        target, one_time = kind.normalize(text), OneTimeCodes(self.rt)
        Messages(self.rt).require_reachable(kind, target)
        found = await self.rt.maybe(FIND_HOLDER[kind], target)
        holder = found if found is not None and not found.verified else None
        client, by_user = presented.client, holder and await self._in_session(holder.user_id, presented)
        record = Record(
            kind=_record_kind(kind),
            request_id=one_time.new_request_id(),
            target=target,
            # A record without an account is written as well: the work of the store shows nothing.
            user_id=holder.user_id if holder else "",
            auth_epoch=holder.auth_epoch if holder else 0,
            data=_ASKED_BY_USER if by_user else {},
        )
        device = Devices(self.rt).trusted(client, holder.user_id, holder.auth_epoch) if holder else None
        lives = self._lives(kind, ttl)
        issued = await one_time.offer(record, lives, limit=kind.limit, client=client, device=device)
        username = (holder.username if holder else None) or ""
        await Messages(self.rt).send_in_background(
            lambda: self._message(kind, issued, username), name="verification message", life=lives.code
        )
        return record.request_id

    def _lives(self, kind: ContactKind, ttl: float | None) -> Lives:
        code = ttl or self.rt.config.code_ttl
        with_link = kind is EMAIL and self.rt.senders.verification_links
        link = (ttl or self.rt.config.link_ttl) if with_link else 0.0
        return Lives(code=code, record=max(code, link), link=link)

    async def _message(self, kind: ContactKind, issued: Issued, username: str) -> None:
        if issued.to_be_sent and issued.record.user_id:
            await Messages(self.rt).verification(
                kind, issued.record.target, username, issued.code, issued.link
            )

    async def _confirm_code(
        self, kind: ContactKind, text: str, code: str, request_id: str | None, presented: _Presented
    ) -> str:
        self.rt.refuse_joining(f"verification.confirm_{kind.name}")
        target = kind.normal_or_none(text)
        if target is None:
            raise errors.InvalidOrExpiredCode
        record = await OneTimeCodes(self.rt).redeem_code(_record_kind(kind), request_id, target, code)
        by_user = record.data == _ASKED_BY_USER or await self._is_user(record, presented)
        return await self._mark_verified(kind, record, errors.InvalidOrExpiredCode, by_user=by_user)

    async def _in_session(self, user_id: str, presented: _Presented) -> bool:
        """True if the caller has a live session of this account.

        For an epoch that was read before: what ends every session moves it, so that a proof counts at the
        same epoch alone. A request that was held back until the owner's reset would verify a contact anew.
        """
        if not user_id or presented.user_id != user_id:
            return False
        return await is_live(self.rt, user_id, presented.session_id)

    async def _is_user(self, record: Record, presented: _Presented) -> bool:
        """True if the caller has a session or the password of the account; an outage restores the record."""
        undo = OneTimeCodes(self.rt).restore
        async with on_outage(lambda: undo(record), errors.TooManyRequests):
            if await self._in_session(record.user_id, presented):
                return True
            if not presented.password or not record.user_id:
                return False
            return await Passwords(self.rt).verify(
                record.user_id, presented.password, client=presented.client
            )

    async def _mark_verified(
        self, kind: ContactKind, record: Record, invalid: type[errors.AuthError], *, by_user: bool
    ) -> str:
        """Mark the contact and record the event in one transaction; raise ``invalid`` for another account."""
        if not record.user_id:
            raise invalid
        undo = OneTimeCodes(self.rt).restore
        async with (
            on_outage(lambda: undo(record), errors.AccountProofRequired),
            self.rt.transaction() as tx,
        ):
            user_id = await tx.maybe(LOCK_HOLDER[kind], record.user_id, record.target, record.auth_epoch)
            if user_id is None:
                raise invalid
            if not by_user:
                usage = await tx.one(USAGE, user_id, kind.name)
                if usage.attached or usage.password:
                    raise errors.AccountProofRequired(metadata={"username": usage.username})
            await ContactProof(tx).mark(user_id, kind, by_user=by_user)
            await Events(tx).record(
                SessionEventType.CONTACT_VERIFIED, actor=None, user_id=user_id, method=kind.name
            )
        await OneTimeCodes(self.rt).remember(record)
        return user_id


def _record_kind(kind: ContactKind) -> str:
    return f"verify_{kind.name}"
