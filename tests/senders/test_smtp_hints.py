"""What an operator reads when the mail server and ``smtp_url`` do not fit."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult
from cryptography import x509

from authkit_issuer.ports import SendFailure
from authkit_issuer.senders.smtp import Mailing, SmtpSender
from fakes.certificates import private_ca
from fakes.ports import free_port


@contextmanager
def served(**options: Any) -> Iterator[int]:
    """Run a mail server while the block runs; yields its port."""
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


async def failure(url: str, **options: Any) -> str:
    """Return what the check of this server says."""
    sender = SmtpSender(Mailing(url=url, sender="auth@example.test", **options))
    with pytest.raises(SendFailure) as refused:
        async with aclosing(sender):
            await sender.check()
    return str(refused.value)


async def test_a_port_that_nothing_listens_on() -> None:
    said = await failure(f"smtp://127.0.0.1:{free_port()}")
    assert said.endswith("; check host and port of smtp_url: 465 with smtps://, 587 with smtp://")


async def test_a_server_without_starttls() -> None:
    with served() as port:
        assert "; the server offers no STARTTLS: use smtps://" in await failure(f"smtp://127.0.0.1:{port}")


async def test_tls_from_the_first_byte_to_a_port_for_starttls() -> None:
    with served() as port:
        said = await failure(f"smtps://127.0.0.1:{port}")
    assert said.endswith("; smtps:// is for port 465, smtp:// for port 587")


async def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    certificate = private_ca(tmp_path / "mail.pem", x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with served(tls_context=context, require_starttls=True) as port:
        said = await failure(f"smtp://127.0.0.1:{port}")
    assert said.endswith("; use the host name of its certificate; SSL_CERT_FILE adds an authority")


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_password_that_the_server_does_not_take() -> None:
    refuse = {"authenticator": lambda *_: AuthResult(success=False, handled=False)}
    with served(auth_required=True, auth_require_tls=False, **refuse) as port:
        said = await failure(f"smtp+plain://ada:s3cret@127.0.0.1:{port}")
    assert said.endswith("SMTP 535; check user and password of smtp_url, with special characters escaped")
    assert "s3cret" not in said


async def test_a_port_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = await failure(f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
    assert said.endswith("; a firewall may drop connections to the port, or the port takes smtps:// alone")
