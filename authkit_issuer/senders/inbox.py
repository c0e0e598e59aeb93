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

from authkit_issuer.ports import Clock, RecoveryNotice, language
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.content import Content
from authkit_issuer.senders.kinds import LinkKinds
from authkit_issuer.senders.mails import Mails
from authkit_issuer.senders.recovery_texts import recovery_text
from authkit_issuer.senders.sms_texts import SmsKind, sms_text

MAX_MESSAGES = 500

Channel = Literal["email", "sms"]

logger = logging.getLogger("authkit.inbox")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxMessage:
    """One message; ``code`` and ``token`` are set if it contains one, ``subject`` and ``html`` in a mail."""

    id: str
    at: datetime
    channel: Channel
    to: str
    kind: str
    code: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    text: str = field(repr=False)
    subject: str | None = None
    html: str | None = field(default=None, repr=False)


class Texts:
    """The SMS side of an inbox: an ``SMSSender`` with reset links and notices of recoveries."""

    def __init__(self, inbox: Inbox, brand: str) -> None:
        """Fill ``inbox`` in the name of ``brand``."""
        self._inbox = inbox
        self._brand = brand

    async def send_verification_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        self._take("verification_code", phone, code)

    async def send_login_code(self, phone: str, code: str) -> None:
        """See ``SMSSender``."""
        self._take("login_code", phone, code)

    async def send_password_reset_link(self, phone: str, token: str) -> None:
        """See ``SMSSenderWithPasswordResetLink``."""
        self._inbox.take("sms", phone, "password_reset_link", "Reset your password.", token=token)

    async def send_recovery_text(self, phone: str, notice: RecoveryNotice) -> None:
        """See ``SMSSenderWithRecoveryNotice``."""
        text = recovery_text(notice, brand=self._brand, base_url=self._inbox.base_url)
        self._inbox.take("sms", phone, notice.kind, text, token=notice.token or None)

    def _take(self, kind: SmsKind, phone: str, code: str) -> None:
        self._inbox.take("sms", phone, kind, sms_text(kind, code, brand=self._brand), code=code)


class Inbox(LinkKinds):
    """An ``EmailSender`` with every optional part; ``texts`` is the ``SMSSender`` of the same inbox."""

    def __init__(
        self, clock: Clock, mails: Mails | None = None, base_url: str = "", *, brand: str = "authkit"
    ) -> None:
        """Start empty.

        Args:
            clock: Returns Unix seconds.
            mails: The templates; None is those of the package.
            base_url: The site that the links of mails lead to.
            brand: The name in SMS.
        """
        self.base_url = base_url
        self._clock = clock
        self._mails = mails or Mails(Brand())
        self._messages: deque[InboxMessage] = deque(maxlen=MAX_MESSAGES)
        self._count = 0
        self.texts = Texts(self, brand)

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
        subject: str | None = None,
        html: str | None = None,
    ) -> None:
        """Store one message, and log it at INFO."""
        secrets = f" Code: {code}" if code and code not in (subject or text) else ""
        secrets += f" Token: {token}" if token else ""
        logger.info("%s to %s: %s%s", channel, to, subject or text, secrets)
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
                subject=subject,
                html=html,
            )
        )

    async def _mail(self, email: str, content: Content) -> None:
        mail = self._mails.render(content, language.get())
        self.take(
            "email",
            email,
            content.kind,
            mail.text,
            code=content.code or None,
            token=content.link.partition("#")[2].partition("=")[2] or None,
            subject=mail.subject,
            html=mail.html,
        )
