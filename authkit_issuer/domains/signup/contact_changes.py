"""Contact changes: a signed-in user replaces their email address or phone number.

The new one is only noted until a code that went to it comes back: the old one stays in force, verified and in
nobody's way. There is one pending change per user and kind; it dies when the address it was to replace, or
the account's epoch, has moved. The caller asks for the password first.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.signup.contact_change import Changing
from authkit_issuer.domains.signup.contacts import EMAIL, PHONE
from authkit_issuer.errors.declared import EMAIL_SENDING, SMS_SENDING, raises
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["ContactChanges", "PendingContacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingContacts:
    """What waits for its proof; None where nothing does."""

    email: str | None = None
    phone_number: str | None = None


@dataclass(frozen=True, slots=True)
class ContactChanges:
    """Takes changes of contacts and confirms them. Nothing of it runs inside a transaction."""

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
        """Send a code to the new address, and a notice to the present one where the sender can.

        Replaces a change that was pending. Raises ``EmailUnavailable``, ``InvalidEmail``, ``UserNotFound``,
        ``UserBanned``, ``EmailUnchanged``, ``EmailInUse``, ``TooManyRequests`` and, with the change stored,
        ``EmailDeliveryFailed``.
        """
        await Changing(self.rt, EMAIL).request(user_id, new_email, client)

    @raises(errors.InvalidOrExpiredCode, errors.EmailInUse, errors.EphemeralStoreUnavailable)
    async def confirm_email(
        self,
        user_id: str,
        code: str,
        *,
        keep_session_id: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Put the new address in force, verified, and tell the old one.

        With ``contact_change_ends_sessions`` every session but ``keep_session_id`` ends in the same
        transaction. Raises ``InvalidOrExpiredCode``; ``EmailInUse`` when somebody else took the address
        meanwhile. When storage fails the code stays good.
        """
        await Changing(self.rt, EMAIL).confirm(user_id, None, code, client, keep_session_id)

    @raises(
        errors.NoPendingEmailChange, *EMAIL_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable
    )
    async def resend_email(self, user_id: str, *, client: Client | None = None) -> None:
        """Send a new code to the new address; the one before it is worth nothing from here on.

        Raises ``NoPendingEmailChange``, ``TooManyRequests``, ``EmailDeliveryFailed``.
        """
        await Changing(self.rt, EMAIL).resend(user_id, None, client)

    @raises(errors.EphemeralStoreUnavailable)
    async def cancel_email(self, user_id: str) -> None:
        """Drop the pending change of the address; none is fine too."""
        await Changing(self.rt, EMAIL).cancel(user_id)

    async def get_pending_email(self, user_id: str) -> str | None:
        """Return the address that waits for its proof, or None; raises ``UserNotFound``, ``UserBanned``."""
        return await Changing(self.rt, EMAIL).pending(user_id)

    @raises(
        errors.InvalidPhoneNumber,
        errors.PhoneUnchanged,
        errors.PhoneInUse,
        *SMS_SENDING,
        errors.TooManyRequests,
        errors.EphemeralStoreUnavailable,
    )
    async def request_phone(self, user_id: str, new_phone: str, *, client: Client | None = None) -> None:
        """Send a code to the new number; as ``request_email``, with ``Phone*`` and ``Sms*`` errors."""
        await Changing(self.rt, PHONE).request(user_id, new_phone, client)

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
        """Put the new number in force, verified; as ``confirm_email``, with ``PhoneInUse``."""
        await Changing(self.rt, PHONE).confirm(user_id, phone, code, client, keep_session_id)

    @raises(
        errors.NoPendingPhoneChange, *SMS_SENDING, errors.TooManyRequests, errors.EphemeralStoreUnavailable
    )
    async def resend_phone(self, user_id: str, phone: str, *, client: Client | None = None) -> None:
        """Send a new code to the new number; raises ``NoPendingPhoneChange`` unless it is this one."""
        await Changing(self.rt, PHONE).resend(user_id, phone, client)

    @raises(errors.EphemeralStoreUnavailable)
    async def cancel_phone(self, user_id: str) -> None:
        """Drop the pending change of the number; none is fine too."""
        await Changing(self.rt, PHONE).cancel(user_id)

    async def get_pending_phone(self, user_id: str) -> str | None:
        """Return the number that waits for its proof, or None; raises ``UserNotFound``, ``UserBanned``."""
        return await Changing(self.rt, PHONE).pending(user_id)

    async def list_pending(self, user_id: str) -> PendingContacts:
        """Return both, for a user who is known to be allowed; costs no query where nothing waits.

        Raises ``EphemeralStoreUnavailable``.
        """
        return PendingContacts(
            email=await Changing(self.rt, EMAIL).glance(user_id),
            phone_number=await Changing(self.rt, PHONE).glance(user_id),
        )
