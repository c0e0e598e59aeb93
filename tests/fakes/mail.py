"""A mailbox: takes every mail and SMS, and fails on demand."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from authkit_issuer.ports import Circumstances, RecoveryNotice


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One mail or SMS; ``code`` and ``token`` are ``""`` when it carries none."""

    channel: str
    to: str
    kind: str
    username: str = ""
    code: str = ""
    token: str = ""
    circumstances: Circumstances | None = None


class Texts:
    """The SMS side of a mailbox: an ``SMSSender`` with reset links and notices of recoveries."""

    def __init__(self, box: Mailbox) -> None:
        self._box = box

    async def send_verification_code(self, phone: str, code: str) -> None:
        await self._box.take(Message(channel="sms", to=phone, kind="verification_code", code=code))

    async def send_login_code(self, phone: str, code: str) -> None:
        await self._box.take(Message(channel="sms", to=phone, kind="login_code", code=code))

    async def send_password_reset_link(self, phone: str, token: str) -> None:
        await self._box.take(Message(channel="sms", to=phone, kind="password_reset_link", token=token))

    async def send_recovery_text(self, phone: str, notice: RecoveryNotice) -> None:
        await self._box.take(Message(channel="sms", to=phone, kind=notice.kind, token=notice.token))


class Mailbox:
    """An ``EmailSender`` with all optional parts; ``.texts`` is the ``SMSSender`` that fills the same box.

    Set ``failure`` to an exception to make every sending raise it; clear ``open`` (an ``asyncio.Event``) to
    make every sending wait.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.failure: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.texts = Texts(self)

    async def take(self, message: Message) -> None:
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.messages.append(message)

    def to(self, address: str) -> list[Message]:
        """Return what was sent to this address or number, oldest first."""
        return [message for message in self.messages if message.to == address]

    def last(self, address: str) -> Message:
        """Return the newest message to this address or number; fails when there is none."""
        found = self.to(address)
        assert found, f"nothing was sent to {address}; sent so far: {self.messages}"
        return found[-1]

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None:
        await self._mail("password_reset_code", email, username, code=code)

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        await self._mail("email_verification_code", email, username, code=code)

    async def send_login_code(self, email: str, username: str, code: str) -> None:
        await self._mail("login_code", email, username, code=code)

    async def send_sign_in_code(self, email: str, username: str, code: str) -> None:
        await self._mail("sign_in_code", email, username, code=code)

    async def send_sign_in_link(self, email: str, username: str, code: str, token: str) -> None:
        await self._mail("sign_in_link", email, username, code=code, token=token)

    async def send_welcome(self, email: str, username: str) -> None:
        await self._mail("welcome", email, username)

    async def send_password_reset_link(self, email: str, username: str, token: str) -> None:
        await self._mail("password_reset_link", email, username, token=token)

    async def send_email_verification_link(self, email: str, username: str, token: str) -> None:
        await self._mail("email_verification_link", email, username, token=token)

    async def send_email_verification(self, email: str, username: str, code: str, token: str) -> None:
        await self._mail("email_verification_code", email, username, code=code, token=token)

    async def send_security_notice(self, email: str, username: str, kind: str) -> None:
        await self._mail(kind, email, username)

    async def send_event_notice(
        self, email: str, username: str, kind: str, circumstances: Circumstances
    ) -> None:
        await self.take(
            Message(channel="email", to=email, kind=kind, username=username, circumstances=circumstances)
        )

    async def send_recovery_notice(self, email: str, username: str, notice: RecoveryNotice) -> None:
        await self.take(
            Message(
                channel="email",
                to=email,
                kind=notice.kind,
                username=username,
                token=notice.token,
                circumstances=notice.circumstances,
            )
        )

    async def send_org_invite(
        self, email: str, username: str, org: str, inviter: str, invite_id: str
    ) -> None:
        await self._mail(f"org_invite of {inviter} to {org}", email, username, token=invite_id)

    async def _mail(self, kind: str, to: str, username: str, *, code: str = "", token: str = "") -> None:
        await self.take(Message(channel="email", to=to, kind=kind, username=username, code=code, token=token))
