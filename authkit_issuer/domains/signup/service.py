"""Registration: an account is pending until its owner proves the address; the first proof wins.

A pending record lives in the ephemeral store under its ``registration_id``. For an address that already has
an account the same record is written and can never be confirmed, so that no answer, no login and no later
registration tells a stranger which addresses are taken (OWASP ASVS 6.3.8).
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.codes import Record
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.signup.channels import EMAIL, PHONE, channel_of
from authkit_issuer.domains.signup.confirmation import Finishing
from authkit_issuer.domains.signup.records import (
    Pending,
    PendingCode,
    PendingRegistration,
    Registered,
    hash_of,
    public,
)
from authkit_issuer.domains.signup.start import Starting
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
        self, identifier: str, username: str, password: str, *, client: Client | None = None
    ) -> Registered:
        """Hash the password and start a registration, by email address or E.164 number.

        Raises ``InvalidIdentifier``, ``InvalidEmail``, ``InvalidPhoneNumber``, ``username_*``,
        ``UsernameInUse``, ``password_*``, ``EmailUnavailable``, ``SmsUnavailable``, ``ServerBusy``. The
        password is hashed whether the address is free or taken.
        """
        self.rt.refuse_joining("registration.register")
        channel = channel_of(identifier)
        if channel is EMAIL and "@" not in identifier:
            raise errors.InvalidIdentifier(param="identifier")
        starting = Starting(self.rt, channel)
        starting.require_sender()
        target = channel.normal(identifier)
        name = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        password_hash = await Passwords(self.rt).hash(password, client=client)
        pending = await starting.create(target, name, password_hash, None, client)
        return Registered(
            registration_id=pending.registration_id,
            email=target if channel is EMAIL else None,
            phone=target if channel is PHONE else None,
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
        """Start a registration with a hash made by the caller and send the code; ``ttl`` is in seconds.

        Where verification is not required the account is made at once, its address unverified, and ``""`` is
        returned. Raises ``EmailInUse`` only without ``private_registration`` or without verification. Beyond
        the sending limits a private registration sends nothing and says so to nobody; the code that the
        address got last then goes with the new id as well.
        """
        return await Starting(self.rt, EMAIL).create(email, username, password_hash, ttl, client)

    async def create_pending_phone(
        self,
        phone: str,
        username: str,
        password_hash: str,
        ttl: float | None = None,
        *,
        client: Client | None = None,
    ) -> PendingCode:
        """Start a registration by phone number; in all else as ``create_pending_email``."""
        return await Starting(self.rt, PHONE).create(phone, username, password_hash, ttl, client)

    async def check_email_conflict(self, email: str, username: str) -> tuple[bool, bool]:
        """Tell whether the address and the name are taken: ``(email_taken, username_taken)``.

        Only accounts take an address. A name is also taken by a live registration of another address.
        """
        return await Starting(self.rt, EMAIL).conflict(email, username)

    async def check_phone_conflict(self, phone: str, username: str) -> tuple[bool, bool]:
        """Tell whether the number and the name are taken; as ``check_email_conflict``."""
        return await Starting(self.rt, PHONE).conflict(phone, username)

    async def get_pending_by_email(self, email: str) -> PendingRegistration | None:
        """Return the newest live registration of an address that can still be confirmed, or None."""
        return public(await Pending(self.rt).newest(EMAIL, email))

    async def get_pending_by_phone(self, phone: str) -> PendingRegistration | None:
        """Return the newest live registration of a number that can still be confirmed, or None."""
        return public(await Pending(self.rt).newest(PHONE, phone))

    @raises(*EMAIL_SENDING, errors.TooManyRequests, *STORES)
    async def resend_email(self, registration_id: str, *, client: Client | None = None) -> None:
        """Send a new code to the address of a pending registration and start its time afresh.

        An unknown id, a taken address and the sending limits show in nothing (``TooManyRequests`` and
        ``EmailDeliveryFailed`` only without ``private_registration``). Raises ``EmailUnavailable``.
        """
        await Starting(self.rt, EMAIL).resend(registration_id, client)

    @raises(*SMS_SENDING, errors.TooManyRequests, *STORES)
    async def resend_phone(self, registration_id: str, *, client: Client | None = None) -> None:
        """Send a new code to the number of a pending registration; as ``resend_email``."""
        await Starting(self.rt, PHONE).resend(registration_id, client)

    async def verify_pending_password(self, email: str, password: str) -> bool:
        """Tell whether this is the newest live registration's password; the same work when there is none."""
        record = await Pending(self.rt).newest(channel_of(email), email)
        return (await self.rt.hasher.verify(hash_of(record), password)).fits

    async def find_by_password(
        self, identifier: str, password: str, *, client: Client | None = None
    ) -> str | None:
        """Return the id of the live registration of an address or number that has this password, else None.

        A new code goes to the address, within the limits. Hashes only where registrations are live: whether
        some are, only registrants can bring about. Several are tried, so that a stranger who registers the
        address as well does not hide its owner's.
        """
        channel, caller = channel_of(identifier), ip_prefix(client.ip if client else None)
        for record in await Pending(self.rt).live(channel, identifier):
            if (await self.rt.hasher.verify(hash_of(record), password, client=caller)).fits:
                if self.rt.config.private_registration:
                    await Starting(self.rt, channel).renew(record, client)
                return record.request_id
        return None

    async def confirm_email(self, email: str, code: str, *, registration_id: str | None = None) -> str:
        """Turn a pending registration into an account with a verified address and return its user id.

        Raises ``InvalidOrExpiredCode`` for a wrong, used or expired code and for a wrong or missing
        ``registration_id`` (which counts no try), ``EmailInUse`` and ``UsernameInUse`` when somebody else was
        faster. When storage fails the code stays good. Not inside a transaction: a wrong try must be counted.
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

        Whoever follows the link shows that it was they who registered: by the id of that browser, or by the
        password. Raises ``CurrentPasswordRequired`` when neither fits, and the token stays unused;
        ``InvalidOrExpiredToken``, also for any password after five wrong ones; else as ``confirm_email``.
        """
        record = await Finishing(self.rt).by_link(token, registration_id, password, client)
        return record.user_id

    async def redeem(self, identifier: str, code: str, *, registration_id: str | None) -> Record:
        """Confirm by a code and return the spent record, for a caller who may put it back."""
        return await Finishing(self.rt).by_code(identifier, code, registration_id)
