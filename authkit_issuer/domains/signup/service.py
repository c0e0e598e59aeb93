"""Registration: an account is pending until its owner proves the address; the first proof wins.

A pending record is stored in the ephemeral store under its ``registration_id``. For an address that already
has an account the same record is written (``registration.create``), which can never be confirmed, and its
owner gets a notice. So no answer, no login and no later registration shows which addresses are taken (OWASP
ASVS 6.3.8).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, kind_of
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.codes.one_time import OneTimeCodes, Record
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.signup.records import (
    KINDS,
    PendingCode,
    PendingRecords,
    PendingRegistration,
    Registered,
    hash_of,
    public,
    record_kind,
)
from authkit_issuer.domains.signup.registration import (
    conflict,
    create,
    make_account,
    renew,
    require_other_login,
    require_reachable,
    require_sender,
    resend,
)
from authkit_issuer.errors.declared import (
    EMAIL_SENDING,
    PASSWORD_LENGTH,
    SMS_SENDING,
    STORES,
    USERNAME_RULES,
    raises,
)
from authkit_issuer.identifiers import ip_prefix
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.stored_hashes import Cost, StoredHash

__all__ = ["PendingCode", "PendingRegistration", "Registered", "Registration"]


@dataclass(frozen=True, slots=True)
class Registration:
    """Takes registrations and confirms them."""

    rt: Runtime

    @raises(
        errors.InvalidIdentifier,
        errors.InvalidEmail,
        errors.InvalidPhoneNumber,
        *USERNAME_RULES,
        errors.UsernameInUse,
        errors.EmailInUse,
        errors.PhoneInUse,
        *PASSWORD_LENGTH,
        errors.TooManyRequests,
        *EMAIL_SENDING,
        *SMS_SENDING,
        errors.ServerBusy,
        *STORES,
    )
    async def register(
        self, identifier: str, username: str | None, password: str | None, *, client: Client | None = None
    ) -> Registered:
        """Hash the password and start a registration.

        The password is hashed whether the address is free or taken. ``UsernameInUse`` is raised for a name
        that an account holds; a pending registration reserves none. ``EmailInUse`` and ``PhoneInUse``
        only without ``private_registration`` or without required verification.

        Args:
            identifier: An email address or an E.164 number.
            username: The name of the new account; None or ``""`` derives a free one from the email address.
            password: In the clear. None for an account without one, whose user signs in by a message
                (``passwordless``), or by a passkey that the confirmed registration adds: only with
                ``webauthn_rp_id`` and ``verification_required``.
            client: Where the request came from; the sending limits count by it.
        """
        self.rt.refuse_joining("registration.register")
        kind = kind_of(identifier)
        if password is None:
            require_other_login(self.rt, kind)
        if kind is EMAIL and "@" not in identifier:
            raise errors.InvalidIdentifier(param="identifier")
        require_sender(self.rt, kind)
        target = kind.normalize(identifier)
        require_reachable(self.rt, kind, target)
        name = username or ""
        if name:
            name = identifiers.username(name, reserved=self.rt.config.reserved_usernames)
        passwords = Passwords(self.rt)
        password_hash = None if password is None else await passwords.hash(password, client=client)
        pending = await create(self.rt, kind, target, name, password_hash, None, client)
        return Registered(
            registration_id=pending.registration_id,
            email=target if kind is EMAIL else None,
            phone=target if kind is PHONE else None,
        )

    async def create_pending_email(
        self,
        email: str,
        username: str,
        password_hash: str,
        ttl: float | None = None,
        *,
        client: Client | None = None,
    ) -> PendingCode:
        """Start a registration with a hash made by the caller and send the code.

        Beyond the sending limits a private registration sends nothing; the code that the address got last
        then works with the new id as well.

        Args:
            email: The address to prove.
            username: The name of the new account; ``""`` derives a free one.
            password_hash: An Argon2id string.
            ttl: Seconds until the registration ends; ``pending_email_ttl`` by default.
            client: Where the request came from; the sending limits count by it.

        Returns:
            The code. ``""`` for a taken address, beyond the sending limits, and where verification is not
            required: then the account is made at once, its address unverified.

        Raises:
            EmailInUse: The address is taken; only without ``private_registration`` or without required
                verification.
        """
        return await create(self.rt, EMAIL, email, username, password_hash, ttl, client)

    async def create_pending_phone(
        self,
        phone: str,
        username: str,
        password_hash: str,
        ttl: float | None = None,
        *,
        client: Client | None = None,
    ) -> PendingCode:
        """Start a registration by phone number, otherwise as ``create_pending_email``."""
        return await create(self.rt, PHONE, phone, username, password_hash, ttl, client)

    async def check_email_conflict(self, email: str, username: str) -> tuple[bool, bool]:
        """Return ``(email_taken, username_taken)``.

        Only an account takes an address, only a user or an organization a name.
        """
        return await conflict(self.rt, EMAIL, email, username)

    async def check_phone_conflict(self, phone: str, username: str) -> tuple[bool, bool]:
        """Return ``(phone_taken, username_taken)``, as ``check_email_conflict``."""
        return await conflict(self.rt, PHONE, phone, username)

    async def get_pending_by_email(self, email: str) -> PendingRegistration | None:
        """Return the newest live registration of an address that can still be confirmed, or None."""
        return public(await PendingRecords(self.rt).newest(EMAIL, email))

    async def get_pending_by_phone(self, phone: str) -> PendingRegistration | None:
        """Return the newest live registration of a number that can still be confirmed, or None."""
        return public(await PendingRecords(self.rt).newest(PHONE, phone))

    @raises(*EMAIL_SENDING, errors.TooManyRequests, *STORES)
    async def resend_email(self, registration_id: str, *, client: Client | None = None) -> None:
        """Send a new code to the address of a pending registration and restart its lifetime.

        An unknown id and a taken address change nothing in the answer. ``TooManyRequests`` says how long the
        next code has to wait. ``EmailDeliveryFailed`` is raised only without ``private_registration``.
        """
        await resend(self.rt, EMAIL, registration_id, client)

    @raises(*SMS_SENDING, errors.TooManyRequests, *STORES)
    async def resend_phone(self, registration_id: str, *, client: Client | None = None) -> None:
        """Send a new code to the number of a pending registration; as ``resend_email``."""
        await resend(self.rt, PHONE, registration_id, client)

    async def verify_pending_password(self, email: str, password: str) -> bool:
        """True if this is the password of the newest live registration; without one the same work is done."""
        record = await PendingRecords(self.rt).newest(kind_of(email), email)
        return (await self.rt.hasher.verify(self._hash_or_dummy(record), password)).fits

    async def find_by_password(
        self, identifier: str, password: str, *, client: Client | None = None
    ) -> str | None:
        """Return the id of the live registration of an address or number with this password, or None.

        A private registration gets a new code, within the limits. Passwords are hashed only for live
        registrations, which only registrants can start. Several are tried, so that an attacker that registers
        the address as well does not hide its owner's.
        """
        kind, caller = kind_of(identifier), ip_prefix(client.ip if client else None)
        for record in await PendingRecords(self.rt).live(kind, identifier, client):
            if (await self.rt.hasher.verify(self._hash_or_dummy(record), password, client=caller)).fits:
                if self.rt.config.private_registration:
                    await renew(self.rt, kind, record, client)
                return record.request_id
        return None

    async def confirm_email(self, email: str, code: str, *, registration_id: str | None = None) -> str:
        """Turn a pending registration into an account with a verified address and return its user id.

        If storage fails the code stays valid. Not inside a transaction: a wrong try must be counted.

        Raises:
            InvalidOrExpiredCode: The code is wrong, used or expired, or the ``registration_id`` is wrong or
                missing (which counts no try).
            AlreadyConfirmed: The code is right and has made the account before.
            EmailInUse: Another account has taken the address meanwhile.
            UsernameInUse: Another account has taken the name meanwhile.
        """
        return (await self.redeem(email, code, registration_id=registration_id)).user_id

    async def confirm_phone(self, phone: str, code: str, *, registration_id: str | None = None) -> str:
        """Turn a pending registration into an account with a verified number; as ``confirm_email``."""
        return (await self.redeem(phone, code, registration_id=registration_id)).user_id

    @raises(
        errors.InvalidOrExpiredToken,
        errors.CurrentPasswordRequired,
        errors.EmailInUse,
        errors.UsernameInUse,
        errors.OwnerSlugTaken,
        errors.ServerBusy,
        *STORES,
    )
    async def confirm_email_link(
        self,
        token: str,
        *,
        registration_id: str | None = None,
        password: str | None = None,
        client: Client | None = None,
    ) -> str:
        """Confirm by the token of a mailed link, and return the user id.

        A reader of the mailbox need not be the registrant: without the browser's id or the password a link
        would open an account whose password is somebody else's. Passwords are tried as often as codes.

        Args:
            token: The token of the link.
            registration_id: The id that the registering browser got.
            password: The password of the registration, for another browser.
            client: Where the request came from; the hashing pool counts by it.

        Raises:
            CurrentPasswordRequired: Neither the id nor the password fits; the token stays unused.
            InvalidOrExpiredToken: The token is wrong, used or expired, or five passwords were wrong.
        """
        self.rt.refuse_joining("registration.confirm_email_link")
        found = await OneTimeCodes(self.rt).find_link(record_kind(EMAIL), token)
        if not await self._is_registrant(found, registration_id, password, client):
            raise errors.CurrentPasswordRequired(param="password")
        record = await OneTimeCodes(self.rt).redeem_link(record_kind(EMAIL), token)
        if record.data["taken"]:
            raise errors.InvalidOrExpiredToken
        await self._make_account(record)
        return record.user_id

    async def redeem(self, identifier: str, code: str, *, registration_id: str | None) -> Record:
        """Confirm by a code and return the used record, which the caller may restore."""
        kind = kind_of(identifier)
        self.rt.refuse_joining(f"registration.confirm_{kind.name}")
        target = kind.normal_or_none(identifier)
        if target is None:
            raise errors.InvalidOrExpiredCode
        record = await OneTimeCodes(self.rt).redeem_code(record_kind(kind), registration_id, target, code)
        if record.data["taken"]:
            raise errors.InvalidOrExpiredCode
        await self._make_account(record)
        return record

    async def _is_registrant(
        self, record: Record, registration_id: str | None, password: str | None, client: Client | None
    ) -> bool:
        """True if the caller shows the registration's id or its password."""
        shown = (registration_id or "").encode("utf-8", "replace")
        if hmac.compare_digest(record.request_id.encode(), shown):
            return True
        if password is None:
            return False

        async def count() -> None:
            try:
                await Guesses(self.rt).count_try(record)
            except errors.InvalidOrExpiredCode as error:
                raise errors.InvalidOrExpiredToken from error

        caller = ip_prefix(client.ip if client else None)
        against = self._hash_or_dummy(record)
        return (await self.rt.hasher.verify(against, password, client=caller, before=count)).fits

    def _hash_or_dummy(self, record: Record | None) -> StoredHash | Cost:
        """Return what a password is compared with: a dummy hash without a registration or its hash."""
        return hash_of(record) or self.rt.hasher.target

    async def _make_account(self, record: Record) -> None:
        async with OneTimeCodes(self.rt).restore_on_outage(record):
            await make_account(
                self.rt,
                KINDS[record.kind],
                record.user_id,
                record.target,
                record.data["username"],
                record.data["password_hash"],
                verified=True,
            )
        await OneTimeCodes(self.rt).remember(record)
