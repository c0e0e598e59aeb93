"""Emails and SMS messages, sent while the caller waits or in the background.

A signed-in caller waits and gets an error if the sender fails. Where the answer must not show which accounts
exist, the message leaves in the background and its failure is logged and counted. Every message has a
deadline. ``senders.mails`` has the templates of mails, and ``audit.notices`` the events with a notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.contacts import PHONE, ContactKind
from authkit_issuer.domains.base.digests import identifier_digest
from authkit_issuer.domains.base.sms_limits import SmsLimits
from authkit_issuer.identifiers import browser_family, ip_prefix
from authkit_issuer.ports import (
    Circumstances,
    Client,
    RecoveryNotice,
    SendFailure,
    TemporarySendFailure,
    language,
)
from authkit_issuer.runtime import Background, Delivery, Runtime, safe_text

RETRY_AFTER = (30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Seconds before each further try (RFC 5321 section 4.5.4.1): greylisting takes minutes, an outage longer."""
NOTICE_LIFE = 4 * 3600.0
"""Seconds for which a message without a code is tried again; another message only while its code is valid."""
NOTICES_PER_HOUR = 20
"""Notices of one kind to one address, that another person may cause: right logins have no limit."""
_TEMPORARY = (TemporarySendFailure, ConnectionError, TimeoutError)

Outcome = Callable[[bool], Awaitable[None]]
"""Learns if a message was sent, once there is no other try."""

logger = logging.getLogger("authkit.messages")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often one message is tried."""

    background: Background
    name: str
    deadline: float
    """When it is useless, by the clock of the event loop."""

    def postpone(self, work: Delivery, tries: int) -> float | None:
        """Plan another try and return the seconds until then; None if it would come too late."""
        if tries >= len(RETRY_AFTER):
            return None
        pause = RETRY_AFTER[tries]
        in_time = asyncio.get_running_loop().time() + pause < self.deadline
        return pause if in_time and self.background.postpone(work, pause, name=self.name) else None


@dataclass(frozen=True, slots=True)
class Messages:
    """Hands messages to the host's senders."""

    rt: Runtime

    def require(self, kind: ContactKind) -> None:
        """Raise ``EmailUnavailable`` or ``SmsUnavailable`` if there is no sender.

        Called before any lookup, so that the error says nothing about an account.
        """
        if kind.sender(self.rt.senders) is None:
            raise kind.unavailable

    def require_reachable(self, kind: ContactKind, target: str) -> None:
        """Raise ``InvalidPhoneNumber`` if no SMS may go to this number (``sms_countries``).

        The number alone decides: the error says nothing about an account.
        """
        if kind is PHONE and not identifiers.takes_sms(target, self.rt.config.sms_countries):
            raise errors.InvalidPhoneNumber("No SMS can be sent to this number.", param=PHONE.param)

    async def admit(self, kind: ContactKind, target: str) -> None:
        """Count an SMS that is about to be sent; does nothing for an email.

        Raises ``InvalidPhoneNumber`` as ``require_reachable``, and ``SendFailure`` beyond ``SmsLimits``.
        """
        self.require_reachable(kind, target)
        if kind is PHONE:
            await SmsLimits(self.rt).admit(target)

    async def send(self, kind: ContactKind, sending: Awaitable[None]) -> None:
        """Wait for a message to leave; raise ``EmailDeliveryFailed`` or ``SmsDeliveryFailed``."""
        try:
            await self._in_time(sending)
        except Exception as error:  # noqa: BLE001 - a sender may raise anything
            logger.warning("a message by %s was not sent: %s", kind.name, safe_text(error))
            # Not chained: a sender's own words may quote the code.
            raise kind.delivery_failed from None

    async def send_in_background(self, sending: Delivery, *, name: str, life: float | None = None) -> None:
        """Send in the background, inside a transaction after its commit; the caller sees no failure.

        After a temporary failure or a broken connection it waits in a bounded queue for another try.

        Args:
            sending: Sends the message.
            name: The message in the log.
            life: Seconds after which it is useless, and no longer tried; None is ``code_ttl``.
        """
        seconds = self.rt.config.code_ttl if life is None else life

        async def start() -> None:
            patience = Patience(self.rt.background, name, asyncio.get_running_loop().time() + seconds)
            self.rt.background.start(lambda: self._try(sending, patience, 0), name=name)

        await self.rt.after_commit(start)

    async def verification(
        self, kind: ContactKind, to: str, username: str, code: str, link: str = ""
    ) -> None:
        """Send a verification code, with the link that does the same if the sender supports links."""
        senders = self.rt.senders
        await self.admit(kind, to)
        if kind is PHONE:
            if senders.sms is not None:
                await senders.sms.send_verification_code(to, code)
            return
        if link and senders.code_and_link is not None:
            await senders.code_and_link.send_email_verification(to, username, code, link)
            return
        if link and senders.verification_link is not None:
            await senders.verification_link.send_email_verification_link(to, username, link)
        if senders.email is not None:
            await senders.email.send_email_verification_code(to, username, code)

    async def sign_in(self, kind: ContactKind, to: str, username: str, code: str, link: str = "") -> None:
        """Send the code of a passwordless sign-in, with the link that does the same where there is one."""
        senders = self.rt.senders
        await self.admit(kind, to)
        if kind is PHONE and senders.sms is not None:
            await senders.sms.send_login_code(to, code)
        elif kind is PHONE:
            raise errors.SmsUnavailable
        elif link and senders.sign_in_link is not None:
            await senders.sign_in_link.send_sign_in_link(to, username, code, link)
        elif senders.sign_in_code is not None:
            await senders.sign_in_code.send_sign_in_code(to, username, code)
        elif senders.email is not None:
            await senders.email.send_login_code(to, username, code)

    async def notify(
        self,
        email: str | None,
        username: str | None,
        notice: str,
        *,
        by_owner: bool = True,
        client: Client | None = None,
    ) -> None:
        """Send a security notice in the background; does nothing without an address or a notice sender.

        Beyond ``NOTICES_PER_HOUR`` of its kind to the address, one that is not ``by_owner`` is not sent.

        Args:
            email: The owner's address.
            username: The name the email greets.
            notice: The kind of notice, such as ``email_changed``.
            by_owner: The caller is the owner, whose language the email then uses.
            client: The client that the owner may know of: never that of an operator or another member.
        """
        if not email or not self.rt.senders.notices:
            return

        admitted: bool | None = by_owner or None
        circumstances = self.circumstances(client)

        async def send() -> None:
            nonlocal admitted
            if not by_owner:
                language.set("")
            if admitted is None:
                admitted = await self._admits_notice(email, notice)
            if admitted:
                await self.notice(email, username or "", notice, circumstances)

        await self.send_in_background(send, name="security notice", life=NOTICE_LIFE)

    async def notify_recovery(
        self, email: str, username: str, notice: RecoveryNotice, end: Outcome | None = None
    ) -> None:
        """Send a notice of a recovery in the background, as a security notice without a sender for it.

        ``end`` learns if it was sent, unless it waits for another try.
        """
        sender, circumstances = self.rt.senders.recovery_notice, self.circumstances(None)

        async def send() -> None:
            # The client may be an attacker's.
            language.set("")
            if sender is not None:
                await sender.send_recovery_notice(email, username, notice)
            elif await self._admits_notice(email, notice.kind):
                await self.notice(email, username, notice.kind, circumstances)
            else:
                raise TemporarySendFailure("too many notices of this kind")

        await self.send_in_background(_reporting(send, end), name="recovery notice", life=NOTICE_LIFE)

    async def notify_phone(self, phone: str, notice: RecoveryNotice, end: Outcome | None = None) -> None:
        """Send a notice of a recovery by SMS in the background, as ``notify_recovery``.

        Beyond ``SmsLimits``, which other clients may use up, it waits for another try. Does nothing without a
        sender for it.
        """
        sender = self.rt.senders.recovery_text
        if sender is None:
            return

        async def send() -> None:
            language.set("")
            self.require_reachable(PHONE, phone)
            try:
                await SmsLimits(self.rt).admit(phone)
            except (SendFailure, errors.EphemeralStoreUnavailable) as refusal:
                raise TemporarySendFailure(safe_text(refusal)) from None
            await sender.send_recovery_text(phone, notice)

        await self.send_in_background(_reporting(send, end), name="recovery notice", life=NOTICE_LIFE)

    def circumstances(self, client: Client | None) -> Circumstances:
        """Return what a notice says about an event of this moment."""
        seen = client or Client()
        return Circumstances(
            at=datetime.fromtimestamp(self.rt.clock(), UTC),
            network=ip_prefix(seen.ip),
            browser=browser_family(seen.user_agent),
        )

    async def notice(self, email: str, username: str, kind: str, circumstances: Circumstances) -> None:
        """Hand a security notice to the sender; does nothing without one for notices."""
        senders = self.rt.senders
        if senders.event_notice is not None:
            await senders.event_notice.send_event_notice(email, username, kind, circumstances)
        elif senders.security_notice is not None:
            await senders.security_notice.send_security_notice(email, username, kind)

    async def _admits_notice(self, email: str, notice: str) -> bool:
        """Count a notice; True if it may be sent, also while the store cannot count."""
        key = f"notices:{notice}:{identifier_digest(self.rt, 'notice', email)}"
        try:
            admitted, _ = await self.rt.ephemeral.admit(key, NOTICES_PER_HOUR, 3600.0)
        except errors.EphemeralStoreUnavailable:
            return True
        return admitted

    async def _try(self, sending: Delivery, patience: Patience, tries: int) -> None:
        try:
            await self._in_time(sending())
        except _TEMPORARY as error:
            pause = patience.postpone(lambda: self._try(sending, patience, tries + 1), tries)
            if pause is None:
                raise
            logger.warning("%s is sent again in %d seconds: %s", patience.name, pause, safe_text(error))

    async def _in_time(self, sending: Awaitable[None]) -> None:
        async with asyncio.timeout(self.rt.config.send_timeout):
            await sending


def _reporting(sending: Delivery, end: Outcome | None) -> Delivery:
    """Return the work of sending a message that reports its outcome."""
    if end is None:
        return sending

    async def report() -> None:
        try:
            await sending()
        except _TEMPORARY:
            raise
        except Exception:
            await end(False)
            raise
        await end(True)

    return report
