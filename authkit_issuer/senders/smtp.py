"""Mails over SMTP (RFC 5321; TLS as in RFC 8314).

``smtps://user:password@host`` uses implicit TLS (port 465) and ``smtp://`` requires STARTTLS (port 587).
``smtp+plain://`` is for a relay on this machine, or with ``allow_plain`` in a private network.
``domains.base.messages`` tries again after a temporary failure.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import time
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses
from urllib.parse import unquote, urlsplit

import aiosmtplib

from authkit_issuer import identifiers
from authkit_issuer.errors import ConfigError
from authkit_issuer.ports import Clock, RandomBytes, SendFailure, TemporarySendFailure, language
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.content import Content
from authkit_issuer.senders.kinds import LinkKinds, MailKinds
from authkit_issuer.senders.mails import Mail, Mails
from authkit_issuer.senders.smtp_hints import hint
from authkit_issuer.senders.smtp_pool import SmtpPool

_NO_ADDRESS = "smtp_url must be smtps://host, smtp://host or smtp+plain://host; escape special characters."
_PLAIN = (
    "smtp_url: smtp+plain:// works on this machine only: use smtps:// or smtp://. With smtp_allow_plain=true "
    "it reaches a private network, too: a name without a dot, .internal, .local, .home.arpa or a private IP "
    "address."
)
_PRIVATE = (".internal", ".local", ".home.arpa")
"""Names that the public DNS never has (RFC 6762, RFC 8375, and .internal, which ICANN reserves)."""
_FAILURES = (aiosmtplib.SMTPException, ssl.SSLError)
"""The client library raises the second one as it is where STARTTLS meets a certificate without trust."""
_PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The mail server."""

    host: str
    port: int
    scheme: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, *, allow_plain: bool = False) -> Server:
        """Return the server of a URL, or raise ``ConfigError``, which omits the URL and its password.

        ``allow_plain`` lets ``smtp+plain://`` name a host of a private network.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise ConfigError(_NO_ADDRESS) from None
        if not host or parts.scheme not in _PORTS:
            raise ConfigError(_NO_ADDRESS)
        near = _is_loopback(host) or (allow_plain and _is_private(host))
        if parts.scheme == "smtp+plain" and not near:
            raise ConfigError(_PLAIN)
        return cls(
            host=host,
            port=port,
            scheme=parts.scheme,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """The settings of a sender of mails."""

    url: str = field(repr=False)
    """The mail server, such as ``smtps://user:password@host``."""
    allow_plain: bool = False
    """True lets ``smtp+plain://`` name a host of a private network."""
    sender: str
    """An address, or ``Name <address>``."""
    mails: Mails = field(default_factory=lambda: Mails(Brand()))
    """The templates."""
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    timeout: float = 15.0
    """Seconds for one mail."""
    retry_after: float = 1.0
    """Seconds before the one other try after a temporary refusal."""
    clock: Clock = time.time
    random_bytes: RandomBytes = os.urandom


class SmtpSender(MailKinds):
    """An ``EmailSender`` with security notices."""

    def __init__(self, mailing: Mailing) -> None:
        """Check the addresses of server and sender, or raise ``ConfigError``; nothing connects yet."""
        self._mailing = mailing
        self._server = Server.parse(mailing.url, allow_plain=mailing.allow_plain)
        self._from = _sender(mailing.sender)
        self._pool = SmtpPool(self._client)

    async def check(self) -> None:
        """Connect and log in, and send nothing; raises ``SendFailure`` with what the server said."""
        try:
            async with self._pool.connected() as client:
                await client.noop()
        except _FAILURES as error:
            raise _failure(error, self._server) from None

    async def send_test(self, email: str) -> None:
        """Send a mail that says that mails arrive; raises ``SendFailure`` with what the server said."""
        await self._mail(email, Content(kind="test"))

    async def _mail(self, email: str, content: Content) -> None:
        # Again, for a caller of this class alone: the one rule of what a header can hold.
        recipient = identifiers.email(email)
        message = self._message(recipient, self._mailing.mails.render(content, language.get()))
        try:
            await self._hand_over(message, recipient)
        except TemporarySendFailure:
            await asyncio.sleep(self._mailing.retry_after)
            await self._hand_over(message, recipient)

    async def _hand_over(self, message: EmailMessage, recipient: str) -> None:
        try:
            async with self._pool.connected() as client:
                await client.send_message(message, sender=self._from.addr_spec, recipients=[recipient])
        except _FAILURES as error:
            raise _failure(error, self._server) from None

    async def aclose(self) -> None:
        """Close the connections to the server."""
        await self._pool.aclose()

    def _client(self) -> aiosmtplib.SMTP:
        """Return a client that is not connected."""
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.scheme == "smtps",
            start_tls=server.scheme == "smtp",
            tls_context=None if server.scheme == "smtp+plain" else self._mailing.tls,
            # By default the client resolves the name of this machine.
            local_hostname=self._from.domain,
            timeout=self._mailing.timeout,
        )

    def _message(self, to: str, mail: Mail) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._from
        message["To"] = Address(addr_spec=to)
        message["Subject"] = mail.subject
        message["Date"] = formatdate(self._mailing.clock())
        message["Message-ID"] = f"<{self._mailing.random_bytes(16).hex()}@{self._from.domain}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: suppresses automatic replies
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        # By default from a random source of its own.
        message.set_boundary(f"=_{self._mailing.random_bytes(16).hex()}")
        return message


class SmtpLinkSender(LinkKinds, SmtpSender):
    """An ``SmtpSender`` that also mails links, as ``LinkKinds`` says."""

    def __init__(self, mailing: Mailing, link_base_url: str) -> None:
        """Use ``link_base_url`` as the base of the pages."""
        super().__init__(mailing)
        self.base_url = link_base_url


def _failure(error: Exception, server: Server) -> SendFailure:
    """Return what a host may log: the reply code (RFC 5321 section 4.2), not the text of the server.

    The text of another error is by the client library: it names the server and its certificate.
    """
    place, remedy = f"{server.host}:{server.port}", hint(error, server.scheme)
    remedy = f"; {remedy}" if remedy else ""
    # Of one recipient there is one refusal.
    refusal = error.recipients[0] if isinstance(error, aiosmtplib.SMTPRecipientsRefused) else error
    if isinstance(refusal, aiosmtplib.SMTPResponseException):
        kind = TemporarySendFailure if 400 <= refusal.code < 500 else SendFailure
        return kind(f"{place}: SMTP {refusal.code}{remedy}")
    kind = TemporarySendFailure if isinstance(error, OSError) else SendFailure
    return kind(f"{place}: {type(error).__name__}: {error}{remedy}")


def _sender(text: str) -> Address:
    """Return the address of ``Name <address>`` or of a bare address."""
    found = getaddresses([text])
    name, address = found[0] if len(found) == 1 else ("", "")
    try:
        if text.isprintable():
            return Address(display_name=name, addr_spec=address)
    except (ValueError, IndexError, MessageError):
        pass
    raise ConfigError(
        "smtp_from is not an email address; write one, or a name and an address in angle brackets."
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        # urlsplit returns the name in lower case.
        return "." not in host or host.endswith(_PRIVATE)
