"""Why a document could not be fetched, in the same words for log, health, explanations and the doctor."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator


class FetchError(Exception):
    """There is no usable document. The message is the end of a sentence and holds no part of the document.

    ``code`` is stable, ``advice`` is a sentence. ``status`` is the status of the response, if one
    came. ``retry_after`` is the time that the response asks for (seconds).
    """

    def __init__(
        self,
        reason: str,
        *,
        code: str = "unusable",
        advice: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.advice = advice
        self.status = status
        self.retry_after = retry_after
        self.url: str | None = None
        """The URL without its query, which may hold a credential."""

    def at(self, url: str) -> FetchError:
        """Return this error with the URL that was fetched."""
        self.url = url.partition("?")[0]
        return self

    def __str__(self) -> str:
        return self.reason if self.url is None else f"{self.url}: {self.reason}"


def failure_of(error: BaseException, *, within: float) -> FetchError:
    """Return why a request brought no response. ``within`` is the time limit of the request (seconds)."""
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return FetchError(
                "the host has no address",
                code="dns_failure",
                advice="Check the name, and the DNS resolver of this host.",
            )
        if isinstance(cause, ssl.SSLError):
            detail = getattr(cause, "verify_message", None) or cause.reason or "no reason given"
            advice = "Check the certificate and the clock; ca_file names the certificates of a private CA."
            return FetchError(f"TLS failed: {detail}", code="tls_failure", advice=advice)
        if isinstance(cause, ImportError):
            return FetchError(f"a package is missing: {cause}", code="package_missing")
    if any(map(_is_timeout, causes)):
        advice = "Check firewalls and the issuer's load."
        return FetchError(f"no answer within {within:g} s", code="timeout", advice=advice)
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        advice = "No server listens there; check the port."
        return FetchError("the connection is refused", code="connection_refused", advice=advice)
    return FetchError(f"the request failed ({type(error).__name__})", code="unreachable")


def _is_timeout(error: BaseException) -> bool:
    # By name: each client has its own class, and importing any would make it a dependency.
    return any(kind is TimeoutError or kind.__name__ == "TimeoutException" for kind in type(error).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
