"""What an operator does about a mail server that refuses: one clause for each mistake that settings make."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import aiosmtplib

_AUTHENTICATION = frozenset({530, 534, 535, 538})
"""The replies to wrong or missing credentials (RFC 4954 sections 4 and 6)."""


def hint(error: BaseException, scheme: str) -> str:
    """Return what to do about a failure of a server with this scheme of ``smtp_url``, or ``""``."""
    return next((remedy for applies, remedy in _remedies(error, scheme) if applies), "")


def _remedies(error: BaseException, scheme: str) -> Iterator[tuple[bool, str]]:
    """Yield each remedy, and whether it fits."""
    causes = list(_causes(error))

    def by(kind: type[BaseException]) -> bool:
        return any(isinstance(cause, kind) for cause in causes)

    yield (
        by(ssl.SSLCertVerificationError),
        "use the host name of its certificate; SSL_CERT_FILE adds an authority",
    )
    yield by(ssl.SSLError), "smtps:// is for port 465, smtp:// for port 587"
    yield (
        isinstance(error, aiosmtplib.SMTPResponseException) and error.code in _AUTHENTICATION,
        "check user and password of smtp_url, with special characters escaped",
    )
    yield (
        by(aiosmtplib.SMTPTimeoutError) and scheme != "smtps",
        "a firewall may drop connections to the port, or the port takes smtps:// alone",
    )
    yield by(aiosmtplib.SMTPTimeoutError), "a firewall may drop connections to the port"
    yield by(ConnectionRefusedError), "check host and port of smtp_url: 465 with smtps://, 587 with smtp://"
    yield (
        scheme == "smtp" and "STARTTLS" in str(error),
        "the server offers no STARTTLS: use smtps:// and its port, or smtp+plain:// for a relay of your own",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it."""
    while error is not None:
        yield error
        error = error.__cause__
