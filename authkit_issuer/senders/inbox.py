"""The development inbox: keeps every mail and SMS in memory instead of sending it.

For development only: it holds the newest 500 messages with their codes and tokens in plain text, and logs
them as ``authkit.inbox``.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from authkit_issuer.ports import Clock

MAX_MESSAGES = 500

Channel = Literal["email", "sms"]

logger = logging.getLogger("authkit.inbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """One message; ``code`` and ``token`` are set if it contains one."""

    id: str
    at: datetime
    channel: Channel
    to: str
    kind: str
    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    text: str = field(repr=False)


class Texts:
    """The SMS side of an inbox: an ``SMSSender`` with reset links."""

    def __init__(self, inbox: Inbox) -> None:
        """Fill ``inbox``."""
        self._inbox = inbox

    async def send_verification_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        self._inbox.take("sms", phone, "verification_code", f"Your verification code is {code}.", code=code)

    async def send_login_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        self._inbox.take("sms", phone, "login_code", f"Your sign-in code is {code}.", code=code)

    async def send_password_reset_link(self, phone: str, token: str) -> None:
        """See ``SMSSenderWithPasswordResetLink``."""
        self._inbox.take("sms", phone, "password_reset_link", "Reset your password.", token=token)


class Inbox:
    """An ``EmailSender`` with every optional part; ``texts`` is the ``SMSSender`` of the same inbox."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; ``clock`` returns Unix seconds."""
        self._clock = clock
        self._messages: deque[InboxMessage] = deque(maxlen=MAX_MESSAGES)
        self._count = 0
        self.texts = Texts(self)

    def messages(self, to: str | None = None) -> list[InboxMessage]:
        """Return the messages, newest first; with ``to``, those to this address or number."""
        wanted = None if to is None else to.strip().lower()
        return [message for message in reversed(self._messages) if wanted in {None, message.to}]

    def take(
        self,
        channel: Channel,
        to: str,
        kind: str,
        text: str,
        *,
        code: str | None = None,
        token: str | None = None,
    ) -> None:
        """Store one message, and log it at INFO."""
        logger.info("%s to %s: %s%s", channel, to, text, f" Token: {token}" if token else "")
        self._count += 1
        self._messages.append(
            InboxMessage(
                id=str(self._count),
                at=datetime.fromtimestamp(self._clock(), UTC),
                channel=channel,
                to=to,
                kind=kind,
                code=code,
                token=token,
                text=text,
            )
        )

    async def send_password_reset_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSender``."""
        text = f"{_greeting(username)} your password reset code is {code}."
        self.take("email", email, "password_reset_code", text, code=code)

    async def send_email_verification_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSender``."""
        text = f"{_greeting(username)} your verification code is {code}."
        self.take("email", email, "email_verification_code", text, code=code)

    async def send_login_code(self, email: str, username: str, code: str) -> None:
        """See ``EmailSender``."""
        text = f"{_greeting(username)} your sign-in code is {code}."
        self.take("email", email, "login_code", text, code=code)

    async def send_welcome(self, email: str, username: str) -> None:
        """See ``EmailSender``."""
        self.take("email", email, "welcome", f"{_greeting(username)} welcome.")

    async def send_password_reset_link(self, email: str, username: str, token: str) -> None:
        """See ``EmailSenderWithPasswordResetLink``."""
        text = f"{_greeting(username)} reset your password."
        self.take("email", email, "password_reset_link", text, token=token)

    async def send_email_verification_link(self, email: str, username: str, token: str) -> None:
        """See ``EmailSenderWithVerificationLink``."""
        text = f"{_greeting(username)} confirm your address."
        self.take("email", email, "email_verification_link", text, token=token)

    async def send_email_verification(self, email: str, username: str, code: str, token: str) -> None:
        """See ``EmailSenderWithCodeAndLink``."""
        text = f"{_greeting(username)} your verification code is {code}."
        self.take("email", email, "email_verification_code", text, code=code, token=token)

    async def send_security_notice(self, email: str, username: str, kind: str) -> None:
        """See ``EmailSenderWithSecurityNotice``."""
        self.take("email", email, kind, f"{_greeting(username)} a security notice: {kind}.")

    async def send_org_invite(
        self, email: str, username: str, org: str, inviter: str, invite_id: str
    ) -> None:
        """See ``EmailSenderWithOrgInvite``."""
        text = f"{_greeting(username)} {inviter or 'an owner'} invites you to {org}."
        self.take("email", email, "org_invite", text, token=invite_id)


def _greeting(username: str) -> str:
    return f"Hello {username}," if username else "Hello,"
