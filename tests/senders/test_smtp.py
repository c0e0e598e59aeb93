"""Mails over SMTP, taken by a server on the loopback interface."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.ports import Senders, SendFailure, TemporarySendFailure, language
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.mails import Mails
from authkit_issuer.senders.smtp import Mailing, SmtpLinkSender, SmtpSender
from fakes.certificates import private_ca
from fakes.mail_server import text_of
from fakes.ports import free_port
from fakes.users import EMAIL, register

CODE, TOKEN, NOW = "123456", "t" * 43, 1_800_000_000.0
FROM = "Example <auth@example.test>"


class MailServer:
    """Takes mails: ``envelopes`` as the server saw them, ``mails`` parsed."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    refusals: tuple[str, ...] = ()
    """Replies to the first recipients, before one is taken."""

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.refusals:
            reply, *rest = self.refusals
            self.refusals = tuple(rest)
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 OK"

    def mails(self) -> list[EmailMessage]:
        parsed = [email.message_from_bytes(e.content, policy=email.policy.SMTP) for e in self.envelopes]
        return [mail for mail in parsed if isinstance(mail, EmailMessage)]

    def text(self) -> str:
        return text_of(self.mails()[-1])


@pytest.fixture
def mail_server() -> MailServer:
    return MailServer()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    return private_ca(tmp_path / "mail.pem", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


def serving(mail_server: MailServer, **options: Any) -> Iterator[int]:
    controller = Controller(mail_server, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@pytest.fixture
def plain_port(mail_server: MailServer) -> Iterator[int]:
    yield from serving(mail_server)


@pytest.fixture
async def mailing(plain_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailing]:
    """The settings of senders; the senders, which keep connections, are closed after the test."""
    made: list[SmtpSender] = []
    prepare = SmtpSender.__init__

    def remember(self: SmtpSender, mailing: Mailing) -> None:
        prepare(self, mailing)
        made.append(self)

    monkeypatch.setattr(SmtpSender, "__init__", remember)
    url = f"smtp+plain://127.0.0.1:{plain_port}"
    yield Mailing(url=url, sender=FROM, clock=lambda: NOW, retry_after=0.0)
    for sender in made:
        await sender.aclose()


async def test_a_code_arrives_as_text_and_html_with_every_header(
    mailing: Mailing, mail_server: MailServer
) -> None:
    await SmtpSender(mailing).send_email_verification_code(EMAIL, "ada_l", CODE)
    (envelope,), (mail,) = mail_server.envelopes, mail_server.mails()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("auth@example.test", [EMAIL])
    assert (mail["From"], mail["To"]) == (FROM, EMAIL)
    assert mail["Subject"] == "Your verification code"
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 -0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.test>")
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail_server.text().startswith(f"Hello ada_l,\n\nYour verification code is:\n\n    {CODE}\n")
    assert f">{CODE}</td>" in mail.get_body(("html",)).get_content()


async def test_every_kind_of_mail_says_what_it_is_for(mailing: Mailing, mail_server: MailServer) -> None:
    sender = SmtpLinkSender(mailing, "https://app.example.test/account/")
    await sender.send_password_reset_code(EMAIL, "", CODE)
    assert mail_server.text().startswith("Hello,\n\nYour password reset code is:\n\n    123456\n")
    await sender.send_login_code(EMAIL, "ada_l", CODE)
    assert CODE in mail_server.text()
    await sender.send_welcome(EMAIL, "ada_l")
    await sender.send_password_reset_link(EMAIL, "ada_l", TOKEN)
    assert f"\nhttps://app.example.test/account/reset-password#token={TOKEN}\n" in mail_server.text()
    await sender.send_email_verification_link(EMAIL, "ada_l", TOKEN)
    link = f"\nhttps://app.example.test/account/verify-email#token={TOKEN}\n"
    assert link in mail_server.text()
    await sender.send_email_verification(EMAIL, "ada_l", CODE, TOKEN)
    assert link in mail_server.text()
    assert CODE in mail_server.text()
    await sender.send_org_invite(EMAIL, "", "acme", "bob_b", "0e4f")
    assert "\nhttps://app.example.test/account/invite#invite=0e4f\n" in mail_server.text()
    assert "bob_b invites you to the organization acme." in mail_server.text()
    await sender.send_org_invite(EMAIL, "ada_l", "acme", "", "0e4f")
    assert mail_server.text().startswith("Hello ada_l,\n\nAn owner invites you to")
    await sender.send_security_notice(EMAIL, "ada_l", "email_changed")
    assert mail_server.mails()[-1]["Subject"] == "Your email address was changed"
    await sender.send_security_notice(EMAIL, "ada_l", "something_new")
    assert "something_new" in mail_server.text()


async def test_links_are_offered_only_where_there_are_pages_for_them(mailing: Mailing) -> None:
    codes = Senders.of(SmtpSender(mailing), None)
    links = Senders.of(SmtpLinkSender(mailing, "https://app.example.test"), None)
    assert codes.security_notice is not None
    assert not codes.verification_links
    assert codes.email_reset_link is None
    assert links.verification_links
    assert links.email_reset_link is not None
    assert (codes.org_invite, links.org_invite is None) == (None, False)


@pytest.mark.parametrize(
    "to",
    [
        "a@example.test\r\nBcc: eve@example.test",
        "a@example.test\nDATA",
        "a,eve@example.test",
        "a>,<eve@example.test",
        "a eve@example.test",
        '"a"@example.test',
        "a@example.test, eve@example.test",
        "adä@example.test",
        "",
    ],
)
async def test_an_address_that_could_name_a_second_recipient_is_refused(
    mailing: Mailing, mail_server: MailServer, to: str
) -> None:
    with pytest.raises(errors.InvalidEmail):
        await SmtpSender(mailing).send_welcome(to, "ada_l")
    assert mail_server.envelopes == []


async def test_user_text_stays_in_the_body(mailing: Mailing, mail_server: MailServer) -> None:
    name = "x\r\nBcc: eve@example.test\r\n.\r\nRSET {code}"
    await SmtpSender(mailing).send_email_verification_code(EMAIL, name, CODE)
    (envelope,), (mail,) = mail_server.envelopes, mail_server.mails()
    assert envelope.rcpt_tos == [EMAIL]
    assert mail["Bcc"] is None
    assert "RSET {code}" in mail_server.text().splitlines()[0]
    assert mail_server.text().endswith("ignore this mail.\n")


async def test_the_language_of_who_asks_chooses_the_text_also_in_the_background(
    make_service, mailing: Mailing, mail_server: MailServer
) -> None:
    mails = SmtpSender(mailing)
    service = await make_service(email_sender=mails)
    for tag, subject in (("de-AT", "Ihr Bestätigungscode"), ("fr", "Your verification code")):
        token = language.set(tag)
        try:
            await register(service, f"{tag}@example.test", f"ada_{tag[:2]}")
        finally:
            language.reset(token)
        assert mail_server.mails()[-1]["Subject"] == subject
    assert await mails.send_welcome(EMAIL, "") is None
    assert mail_server.mails()[-1]["Subject"] == "Welcome"


async def test_a_person_of_unknown_language_gets_the_language_of_the_service(
    mailing: Mailing, mail_server: MailServer
) -> None:
    mails = Mails(Brand(), language="de")
    await SmtpSender(Mailing(url=mailing.url, sender=FROM, mails=mails)).send_welcome(EMAIL, "ada_l")
    assert mail_server.mails()[-1]["Subject"] == "Willkommen"


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # the test server does not count TLS from the first byte
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_tls_is_spoken_and_the_password_given(
    certificate: Path, mail_server: MailServer, scheme: str
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate))
    seen: list[Any] = []

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        seen.append((data.login, data.password))
        return AuthResult(success=True)

    options: dict[str, Any] = {"authenticator": authenticate, "auth_required": True}
    if scheme == "smtps":
        options |= {"ssl_context": server, "auth_require_tls": False}
    else:
        options |= {"tls_context": server, "require_starttls": True}
    for port in serving(mail_server, **options):
        mailing = Mailing(url=f"{scheme}://ada%40x:p%2Fw@127.0.0.1:{port}", sender=FROM, tls=trusted)
        async with aclosing(SmtpSender(mailing)) as trusting:
            await trusting.send_welcome(EMAIL, "ada_l")
        distrustful = Mailing(url=f"{scheme}://ada%40x:p%2Fw@127.0.0.1:{port}", sender=FROM)
        with pytest.raises(Exception, match=r"(?i)certificate"):
            await SmtpSender(distrustful).send_welcome(EMAIL, "ada_l")
    assert len(mail_server.mails()) == 1
    assert seen == [(b"ada@x", b"p/w")]


async def test_a_server_without_tls_gets_neither_password_nor_mail(
    plain_port: int, mail_server: MailServer
) -> None:
    mailing = Mailing(url=f"smtp://ada:secret@127.0.0.1:{plain_port}", sender=FROM)
    with pytest.raises(Exception, match="STARTTLS"):
        await SmtpSender(mailing).send_welcome(EMAIL, "ada_l")
    assert mail_server.envelopes == []


@pytest.mark.parametrize(
    "url",
    ["", "mail.example.test", "http://mail.example.test", "smtp://", "smtps://:secret@", "smtp://h:port",
     "smtp://h:99999", "smtp+plain://mail.example.test", "smtp+plain://192.0.2.1"],
)  # fmt: skip
def test_an_unusable_server_is_named_without_its_password(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="smtp_url") as refused:
        SmtpSender(Mailing(url=url, sender=FROM))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "host", ["mailpit", "relay.internal", "RELAY.mail.svc.cluster.local", "10.1.2.3", "[fd00::25]"]
)
def test_a_relay_in_a_private_network_needs_a_setting_of_its_own(host: str) -> None:
    url = f"smtp+plain://{host}:1025"
    with pytest.raises(errors.ConfigError, match="smtp_allow_plain"):
        SmtpSender(Mailing(url=url, sender=FROM))
    SmtpSender(Mailing(url=url, sender=FROM, allow_plain=True))


@pytest.mark.parametrize("host", ["mail.example.com", "internal.example.com", "8.8.8.8", "xinternal.de"])
def test_no_setting_sends_mails_without_tls_to_the_internet(host: str) -> None:
    with pytest.raises(errors.ConfigError, match="smtps://"):
        SmtpSender(Mailing(url=f"smtp+plain://{host}", sender=FROM, allow_plain=True))


@pytest.mark.parametrize(
    "sender", ["", "postmaster", "Ada <ada@x.test>\nBcc: e@x.test", "a@x.test, b@x.test, "]
)
def test_an_unusable_sender_is_a_configuration_error(sender: str) -> None:
    with pytest.raises(errors.ConfigError, match="smtp_from"):
        SmtpSender(Mailing(url="smtps://mail.example.test", sender=sender))


async def test_a_service_sends_through_the_configured_server(
    make_service, plain_port: int, mail_server: MailServer
) -> None:
    service = await make_service(
        email_sender=None,
        smtp_url=f"smtp+plain://localhost:{plain_port}",
        smtp_from=FROM,
        link_base_url="https://app.example.test",
    )
    assert service.has_email_sender
    assert "secret" not in repr(service.config)
    await register(service)
    assert mail_server.mails()[-1]["To"] == EMAIL
    assert "/verify-email#token=" in mail_server.text()


@pytest.mark.parametrize(
    ("reply", "temporary"), [("451 4.7.1 Greylisted", True), ("550 5.1.1 No such user", False)]
)
async def test_a_refusal_says_its_code_and_whether_it_is_temporary(
    mailing: Mailing, mail_server: MailServer, reply: str, *, temporary: bool
) -> None:
    mail_server.refusals = (reply, reply)
    with pytest.raises(SendFailure, match=rf"^127\.0\.0\.1:\d+: SMTP {reply[:3]}$") as refused:
        await SmtpSender(mailing).send_login_code(EMAIL, "ada_l", CODE)
    mail_server.refusals = ()
    assert isinstance(refused.value, TemporarySendFailure) is temporary
    await SmtpSender(mailing).send_login_code(EMAIL, "ada_l", CODE)
    assert len(mail_server.mails()) == 1


async def test_a_server_that_does_not_answer_is_a_temporary_failure() -> None:
    mailing = Mailing(url=f"smtp+plain://127.0.0.1:{free_port()}", sender=FROM, retry_after=0.0)
    with pytest.raises(TemporarySendFailure, match="SMTPConnectError"):
        await SmtpSender(mailing).send_login_code(EMAIL, "ada_l", CODE)


async def test_a_greylisted_mail_arrives_without_being_asked_for_again(
    make_service, plain_port: int, mail_server: MailServer, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("authkit_issuer.domains.base.messages.RETRY_AFTER", (0.0, 0.0))
    mail_server.refusals = ("451 4.7.1 Greylisted, try again later",) * 3
    service = await make_service(
        email_sender=None, smtp_url=f"smtp+plain://localhost:{plain_port}", smtp_from=FROM
    )
    await register(service)
    assert mail_server.mails()[-1]["To"] == EMAIL
    assert "SMTP 451" in caplog.text


async def test_a_server_that_is_away_is_a_failed_delivery_in_time(make_service) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        service = await make_service(
            email_sender=None, smtp_url=f"smtp+plain://127.0.0.1:{port}", smtp_from=FROM,
            private_registration=False, send_timeout=0.05,
        )  # fmt: skip
        with pytest.raises(errors.EmailDeliveryFailed):
            await register(service)


def test_settings_come_from_the_environment_and_are_checked() -> None:
    given = {"AUTHKIT_ISSUER": "https://x.test", "AUTHKIT_AUDIENCES": "app"}
    url = "smtps://ada:secret@mail.example.test"
    config = Config.from_env({**given, "AUTHKIT_SMTP_URL": url, "AUTHKIT_SMTP_FROM": FROM})
    assert (config.smtp_url, config.smtp_from) == (url, FROM)
    assert "secret" not in repr(config)
    with pytest.raises(errors.ConfigError, match="smtp_from"):
        Config.from_env({**given, "AUTHKIT_SMTP_URL": url})
    with pytest.raises(errors.ConfigError, match="link_base_url"):
        Config.from_env({**given, "AUTHKIT_LINK_BASE_URL": "javascript:alert(1)"})
