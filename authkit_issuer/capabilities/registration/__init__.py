"""Registration: an account is pending until its owner proves the address; the first proof wins.

A pending record lives in the ephemeral store under its ``registration_id``. For an address that already has
an account the same record is written and can never be confirmed, so that no answer, no login and no later
registration tells a stranger which addresses are taken (OWASP ASVS 6.3.8).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.capabilities.namespace import Namespace
from authkit_issuer.capabilities.one_time import OneTime, Record
from authkit_issuer.capabilities.passwords import Passwords
from authkit_issuer.capabilities.registration.pending import (
    KIND,
    Pending,
    PendingCode,
    PendingRegistration,
    Registered,
)
from authkit_issuer.capabilities.users import Users
from authkit_issuer.ports import Client, EmailSenderWithSecurityNotice
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import StoredHash, acceptable

__all__ = ["PendingCode", "PendingRegistration", "Registered", "Registration"]

SEND_LIMIT = "email_code"


@dataclass(frozen=True, slots=True)
class Registration:
    """Takes registrations and confirms them."""

    rt: Runtime

    async def register(
        self, identifier: str, username: str, password: str, *, client: Client | None = None
    ) -> Registered:
        """Hash the password and start a registration; by mail address.

        Raises ``InvalidIdentifier``, ``InvalidEmail``, ``username_*``, ``UsernameInUse``, ``password_*``,
        ``EmailUnavailable``, ``ServerBusy``; ``SmsUnavailable`` for phone numbers. The password is hashed
        whether the address is free or taken.
        """
        self.rt.refuse_joining("registration.register")
        text = identifier.strip()
        if text.startswith("+"):
            identifiers.phone(text)
            raise errors.SmsUnavailable
        if "@" not in text:
            raise errors.InvalidIdentifier(param="identifier")
        self._require_sender()
        email = identifiers.email(text)
        name = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        password_hash = await Passwords(self.rt).hash(password)
        pending = await self.create_pending_email(email, name, password_hash, client=client)
        return Registered(registration_id=pending.registration_id, email=email)

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
        returned. Raises ``EmailInUse`` only without ``private_registration`` or without verification; beyond
        the sending limits a private registration does nothing and says so to nobody.
        """
        email = identifiers.email(email)
        username = identifiers.username(username, reserved=self.rt.config.reserved_usernames)
        if not acceptable(StoredHash(text=password_hash, algo="argon2id")):
            raise errors.InvalidPasswordHash
        config = self.rt.config
        if not config.verification_required:
            await self._make_account(None, email, username, password_hash, verified=False)
            return PendingCode("", registration_id="")
        self._require_sender()
        email_taken, username_taken = await self.check_email_conflict(email, username)
        if username_taken:
            raise errors.UsernameInUse(param="username")
        if email_taken and not config.private_registration:
            raise errors.EmailInUse(param="email")
        one_time = OneTime(self.rt)
        if not await one_time.may_send(SEND_LIMIT, email, client):
            if not config.private_registration:
                raise errors.TooManyRequests(retry_after=config.code_cooldown)
            return PendingCode("", registration_id=one_time.new_request_id())
        issued = await one_time.issue(
            KIND,
            target=email,
            code_ttl=config.code_ttl,
            record_ttl=ttl or config.pending_email_ttl,
            user_id=identifiers.new_id(self.rt.random_bytes),
            data={
                "username": username,
                "password_hash": password_hash,
                "taken": "yes" if email_taken else "",
            },
        )
        await Pending(self.rt).remember(issued.record, ttl or config.pending_email_ttl)
        await self._send(issued.record, issued.code)
        return PendingCode("" if email_taken else issued.code, registration_id=issued.record.request_id)

    async def check_email_conflict(self, email: str, username: str) -> tuple[bool, bool]:
        """Tell whether the address and the name are taken: ``(email_taken, username_taken)``.

        Only accounts take an address. A name is also taken by a live registration of another address.
        """
        email = identifiers.email(email)
        email_taken = await Users(self.rt).get_by_email(email) is not None
        name = username.strip()
        if not identifiers.storable(name):
            return email_taken, False
        if await Namespace(self.rt).is_taken(name.lower()):
            return email_taken, True
        holder = await Pending(self.rt).of_name(name)
        return email_taken, holder is not None and holder.target != email

    async def get_pending_by_email(self, email: str) -> PendingRegistration | None:
        """Return the newest live registration of an address that can still be confirmed, or None."""
        record = await Pending(self.rt).newest(email)
        if record is None or record.data["taken"]:
            return None
        return PendingRegistration(
            email=record.target,
            phone=None,
            username=record.data["username"],
            password_hash=record.data["password_hash"],
            registration_id=record.request_id,
        )

    async def verify_pending_password(self, email: str, password: str) -> bool:
        """Tell whether this is the newest live registration's password; the same work when there is none."""
        record = await Pending(self.rt).newest(email)
        return (await self.rt.hasher.verify(_hash_of(record), password)).fits

    async def find_by_password(self, email: str, password: str) -> str | None:
        """Return the id of the live registration of an address that has this password, else None.

        Hashes only where registrations are live: whether some are, only registrants can bring about. Several
        are tried, so that a stranger who registers the address as well does not hide its owner's.
        """
        for record in await Pending(self.rt).live(email):
            if (await self.rt.hasher.verify(_hash_of(record), password)).fits:
                return record.request_id
        return None

    async def confirm_email(self, email: str, code: str, *, registration_id: str | None = None) -> str:
        """Turn a pending registration into an account with a verified address and return its user id.

        Raises ``InvalidOrExpiredCode`` for a wrong, used or expired code and for a wrong or missing
        ``registration_id`` (which counts no try), ``EmailInUse`` and ``UsernameInUse`` when somebody else was
        faster. When storage fails the code stays good. Not inside a transaction: a wrong try must be counted.
        """
        return (await self.redeem(email, code, registration_id=registration_id)).user_id

    async def redeem(self, email: str, code: str, *, registration_id: str | None) -> Record:
        """Confirm as ``confirm_email`` does and return the spent record, for a caller who may put it back."""
        self.rt.refuse_joining("registration.confirm_email")
        try:
            target = identifiers.email(email)
        except errors.InvalidEmail as error:
            raise errors.InvalidOrExpiredCode from error
        record = await OneTime(self.rt).redeem_code(KIND, registration_id, target, code)
        if record.data["taken"]:
            raise errors.InvalidOrExpiredCode
        try:
            await self._make_account(
                record.user_id,
                record.target,
                record.data["username"],
                record.data["password_hash"],
                verified=True,
            )
        except (errors.Unavailable, asyncio.CancelledError):
            await asyncio.shield(OneTime(self.rt).put_back(record))
            raise
        return record

    async def _make_account(
        self, user_id: str | None, email: str, username: str, password_hash: str, *, verified: bool
    ) -> None:
        """Write user, name, password and event in one transaction; done before counts as done."""
        async with self.rt.transaction() as tx:
            # The id was chosen with the record: an account under it is our own commit whose answer was lost.
            if user_id is not None and await Users(tx).get(user_id) is not None:
                return
            user = await Users(tx).add(
                email=email, username=username, verified=verified, user_id=user_id, method="registration"
            )
            await Passwords(tx).store_hash(user.id, password_hash)

    def _require_sender(self) -> None:
        """Refuse before any lookup: having no sender says nothing about an account."""
        if self.rt.config.verification_required and self.rt.email_sender is None:
            raise errors.EmailUnavailable

    async def _send(self, record: Record, code: str) -> None:
        """Send the code, or a notice to the owner of a taken address; unseen where it must not show."""
        if self.rt.config.private_registration:
            await self.rt.after_commit(lambda: self._send_unseen(record, code))
            return
        try:
            await self._hand_over(record, code)
        except Exception as error:
            raise errors.EmailDeliveryFailed from error

    async def _send_unseen(self, record: Record, code: str) -> None:
        self.rt.background.start(lambda: self._hand_over(record, code), name="registration mail")

    async def _hand_over(self, record: Record, code: str) -> None:
        sender = self.rt.email_sender
        if sender is None:
            return
        async with asyncio.timeout(self.rt.config.send_timeout):
            if not record.data["taken"]:
                await sender.send_email_verification_code(record.target, record.data["username"], code)
            elif isinstance(sender, EmailSenderWithSecurityNotice):
                await sender.send_security_notice(record.target, "", "registration_attempt")


def _hash_of(record: Record | None) -> StoredHash | None:
    return None if record is None else StoredHash(text=record.data["password_hash"], algo="argon2id")
