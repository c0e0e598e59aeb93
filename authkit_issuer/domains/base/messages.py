"""Mails and SMS messages: whether they can be sent, and how a sending is waited for.

A signed-in caller waits and hears of a failure. Where the answer must not depend on who has an account, the
message leaves in the background and its failure is logged and counted. Every sending has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal

from authkit_issuer import errors
from authkit_issuer.ports import language
from authkit_issuer.runtime import Delivery, Runtime

Channel = Literal["email", "phone"]


@dataclass(frozen=True, slots=True)
class Messages:
    """Hands messages to the host's senders."""

    rt: Runtime

    def require(self, channel: Channel) -> None:
        """Raise ``EmailUnavailable`` or ``SmsUnavailable``.

        Called before any lookup: that there is no sender says nothing about an account.
        """
        if channel == "email" and self.rt.senders.email is None:
            raise errors.EmailUnavailable
        if channel == "phone" and self.rt.senders.sms is None:
            raise errors.SmsUnavailable

    async def insist(self, channel: Channel, sending: Awaitable[None]) -> None:
        """Wait for a sending; raises ``EmailDeliveryFailed`` or ``SmsDeliveryFailed``."""
        try:
            await self._in_time(sending)
        except Exception:  # noqa: BLE001 - a sender may raise anything
            failed = errors.EmailDeliveryFailed if channel == "email" else errors.SmsDeliveryFailed
            # Not chained: a sender's own words may quote the code.
            raise failed from None

    async def unseen(self, sending: Delivery, *, name: str) -> None:
        """Send in the background, after the commit inside a transaction; the caller sees no failure."""

        async def start() -> None:
            self.rt.background.start(lambda: self._in_time(sending()), name=name)

        await self.rt.after_commit(start)

    async def verification(self, channel: Channel, to: str, username: str, code: str, link: str = "") -> None:
        """Hand over a verification code; where the sender can, with the link that does the same."""
        senders = self.rt.senders
        if channel == "phone":
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

    async def notify(
        self, email: str | None, username: str | None, kind: str, *, by_owner: bool = True
    ) -> None:
        """Tell the owner of an account in the background; nothing without an address or the extension.

        The language of the caller is the owner's only ``by_owner``.
        """
        notices = self.rt.senders.security_notice
        if not email or notices is None:
            return

        async def send() -> None:
            if not by_owner:
                language.set("")
            await notices.send_security_notice(email, username or "", kind)

        await self.unseen(send, name="security notice")

    async def _in_time(self, sending: Awaitable[None]) -> None:
        async with asyncio.timeout(self.rt.config.send_timeout):
            await sending
