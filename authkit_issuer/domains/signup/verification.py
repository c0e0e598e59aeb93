"""Verification: the proof that an existing account's address or number is its owner's.

It marks the contact and does nothing else. Nobody is signed in by it: an account that somebody else made over
a foreign address would be opened to its maker's password by the very proof of the owner.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base import messages
from authkit_issuer.domains.base.codes import Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.errors.declared import STORES, raises
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproved:
    """An account that may act, and whether the contact asked about is proved."""

    user_id: str
    auth_epoch: int
    username: str | None
    verified: bool


_FIND = "select u.id::text as user_id, u.auth_epoch, u.username, {} as verified from profiles.users u"
FIND_EMAIL = Query(Unproved, f"{_FIND.format('u.email_verified')} where lower(u.email) = $1 and {ALLOWED}")
FIND_PHONE = Query(Unproved, f"{_FIND.format('u.phone_verified')} where u.phone_number = $1 and {ALLOWED}")
PROVE_EMAIL = Query(
    str,
    f"""
    update profiles.users u set email_verified = true, updated_at = now()
    where u.id = $1::uuid and lower(u.email) = $2 and u.auth_epoch = $3 and {ALLOWED} returning u.id::text
    """,
)
PROVE_PHONE = Query(
    str,
    f"""
    update profiles.users u set phone_verified = true, updated_at = now()
    where u.id = $1::uuid and u.phone_number = $2 and u.auth_epoch = $3 and {ALLOWED} returning u.id::text
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What differs between an email address and a phone number."""

    name: messages.Channel
    kind: str
    limit: str
    normal: Callable[[str], str]
    find: Query[Unproved]
    prove: Query[str]


EMAIL = Contact(
    name="email",
    kind="verify_email",
    limit="email_code",
    normal=identifiers.email,
    find=FIND_EMAIL,
    prove=PROVE_EMAIL,
)
PHONE = Contact(
    name="phone",
    kind="verify_phone",
    limit="phone_code",
    normal=identifiers.phone,
    find=FIND_PHONE,
    prove=PROVE_PHONE,
)


@dataclass(frozen=True, slots=True)
class Verification:
    """Sends proofs of contacts and takes them."""

    rt: Runtime

    @raises(errors.InvalidEmail, errors.EmailUnavailable, *STORES)
    async def request_email(
        self, email: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a code, and a link where the sender can, to an unproved address of an account.

        Returns the request id that goes with the code; ``ttl`` is in seconds. Unknown and proved addresses
        get an id too, after the same work, and nothing is sent; so do requests beyond the limits, whose id
        goes with the code that was sent last. Raises ``EmailUnavailable``, ``InvalidEmail``.
        """
        return await self._request(EMAIL, email, ttl, client)

    @raises(errors.InvalidPhoneNumber, errors.SmsUnavailable, *STORES)
    async def request_phone(
        self, phone: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a code to an unproved number of an account; as ``request_email``."""
        return await self._request(PHONE, phone, ttl, client)

    async def send_phone(
        self, phone: str, user_id: str, ttl: float | None = None, *, client: Client | None = None
    ) -> str:
        """Send a code to a signed-in user's own number and return the request id.

        A number that is proved gets nothing. Raises ``SmsUnavailable``, ``UserNotFound`` when the number is
        not this user's, ``TooManyRequests``, ``SmsDeliveryFailed``.
        """
        self.rt.refuse_joining("verification.send_phone")
        Messages(self.rt).require("phone")
        number, known = identifiers.phone(phone), identifiers.user_id(user_id)
        found = await self.rt.maybe(FIND_PHONE, number) if known else None
        if found is None or found.user_id != known:
            raise errors.UserNotFound
        if found.verified:
            return OneTimeCodes(self.rt).new_request_id()
        await SendingLimits(self.rt).check(PHONE.limit, number, client)
        life = ttl or self.rt.config.code_ttl
        issued = await OneTimeCodes(self.rt).issue(
            PHONE.kind,
            target=number,
            code_ttl=life,
            record_ttl=life,
            user_id=found.user_id,
            auth_epoch=found.auth_epoch,
        )
        await Messages(self.rt).insist("phone", self._hand_over(PHONE, issued, ""))
        return issued.record.request_id

    @raises(errors.InvalidOrExpiredCode, errors.EmailInUse, *STORES)
    async def confirm_email(self, email: str, code: str, *, request_id: str | None = None) -> str:
        """Mark the address as proved and return the user id; nobody is signed in.

        Raises ``InvalidOrExpiredCode``: wrong, used, expired, another request's, or the account has moved on
        since (another address, an epoch raised). When storage fails the code stays good. Not inside a
        transaction: a wrong try must be counted.
        """
        return await self._confirm_code(EMAIL, email, code, request_id)

    @raises(errors.InvalidOrExpiredToken, errors.EmailInUse, *STORES)
    async def confirm_email_link(self, token: str) -> str:
        """Mark the address as proved by the token of a mailed link; raises ``InvalidOrExpiredToken``."""
        self.rt.refuse_joining("verification.confirm_email_link")
        record = await OneTimeCodes(self.rt).redeem_link(EMAIL.kind, token)
        return await self._prove(EMAIL, record, errors.InvalidOrExpiredToken)

    @raises(errors.InvalidOrExpiredCode, errors.PhoneInUse, *STORES)
    async def confirm_phone(self, phone: str, code: str, *, request_id: str | None = None) -> None:
        """Mark the number as proved; as ``confirm_email``."""
        await self._confirm_code(PHONE, phone, code, request_id)

    async def _request(self, contact: Contact, text: str, ttl: float | None, client: Client | None) -> str:
        self.rt.refuse_joining(f"verification.request_{contact.name}")
        Messages(self.rt).require(contact.name)
        target, one_time = contact.normal(text), OneTimeCodes(self.rt)
        found = await self.rt.maybe(contact.find, target)
        wanted = found if found is not None and not found.verified else None
        record = Record(
            kind=contact.kind,
            request_id=one_time.new_request_id(),
            target=target,
            # Nobody's record is written as well: what the store is asked tells nothing.
            user_id=wanted.user_id if wanted else "",
            auth_epoch=wanted.auth_epoch if wanted else 0,
        )
        lives = self._lives(contact, ttl)
        issued = await one_time.offer(record, lives, limit=contact.limit, client=client)
        username = (wanted.username if wanted else None) or ""
        await Messages(self.rt).unseen(
            lambda: self._hand_over(contact, issued, username), name="verification message"
        )
        return record.request_id

    def _lives(self, contact: Contact, ttl: float | None) -> Lives:
        code = ttl or self.rt.config.code_ttl
        with_link = contact is EMAIL and self.rt.senders.verification_links
        link = (ttl or self.rt.config.link_ttl) if with_link else 0.0
        return Lives(code=code, record=max(code, link), link=link)

    async def _hand_over(self, contact: Contact, issued: Issued, username: str) -> None:
        if issued.to_be_sent and issued.record.user_id:
            await Messages(self.rt).verification(
                contact.name, issued.record.target, username, issued.code, issued.link
            )

    async def _confirm_code(self, contact: Contact, text: str, code: str, request_id: str | None) -> str:
        self.rt.refuse_joining(f"verification.confirm_{contact.name}")
        try:
            target = contact.normal(text)
        except errors.Invalid as error:
            raise errors.InvalidOrExpiredCode from error
        record = await OneTimeCodes(self.rt).redeem_code(contact.kind, request_id, target, code)
        return await self._prove(contact, record, errors.InvalidOrExpiredCode)

    async def _prove(self, contact: Contact, record: Record, dead: type[errors.AuthError]) -> str:
        """Write the proof and its event in one transaction; the record comes back when storage fails."""
        if not record.user_id:
            raise dead
        async with OneTimeCodes(self.rt).restore_on_outage(record), self.rt.transaction() as tx:
            proved = await tx.maybe(contact.prove, record.user_id, record.target, record.auth_epoch)
            if proved is None:
                raise dead
            await Events(tx).record(SessionEventType.CONTACT_VERIFIED, user_id=proved, method=contact.name)
        return proved
