"""Request one document as the verifier does, and report precisely how that failed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from authkit_verify._explain.explanation import shortened
from authkit_verify._jwks.fetch import (
    MAX_BYTES,
    TOTAL_TIMEOUT,
    Answer,
    FetchError,
    HttpClient,
    StreamedResponse,
    Timeouts,
    fetch,
)
from authkit_verify._jwks.key_set_cache import Clock


@dataclass(frozen=True, slots=True)
class Fault:
    """The reason why there is no document: a stable code, the end of a sentence, and advice."""

    code: str
    reason: str
    advice: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One request: its answer or its fault, the response headers, and its times (seconds)."""

    url: str
    answer: Answer | None
    fault: Fault | None
    headers: Mapping[str, str]
    middle: float
    """Unix time half-way between request and response."""
    took: float


async def probe(client: HttpClient, url: str, *, wall: Clock, timer: Clock) -> Probe:
    """Request a document once. Raises nothing but a cancellation."""
    recorder = _RecordingClient(client, timer)
    asked_at, began = wall(), timer()
    answer: Answer | None = None
    fault: Fault | None = None
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT):
            answer = await fetch(recorder, url)
    except FetchError as error:
        fault = _refused(error, recorder)
    except Exception as error:  # noqa: BLE001 - a host's client may raise anything, and that is a finding
        fault = _unreachable(error)
    took = timer() - began
    headed = recorder.headed_at - began if recorder.headed_at is not None else took
    return Probe(url, answer, fault, recorder.headers, asked_at + headed / 2, took)


class _RecordingClient:
    """A client that records the status and headers of the response."""

    def __init__(self, client: HttpClient, timer: Clock) -> None:
        self._client = client
        self._timer = timer
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.headed_at: float | None = None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout: Timeouts,  # noqa: ASYNC109 - the name is the protocol's
        follow_redirects: bool,
    ) -> AsyncGenerator[StreamedResponse]:
        """Send a request and yield the response before its body is read."""
        async with self._client.stream(
            method, url, headers=headers, timeout=timeout, follow_redirects=follow_redirects
        ) as response:
            self.headed_at = self._timer()
            self.status = response.status_code
            self.headers = {name.lower(): value for name, value in response.headers.items()}
            yield response


def _refused(error: FetchError, recorder: _RecordingClient) -> Fault:
    """Return the fault of a response that came, in the words of the verifier's own error."""
    status = recorder.status or 0
    if 300 <= status < 400:
        target = shortened(ascii(recorder.headers.get("location", "")))
        return Fault(
            "redirect", f"the response has status {status} and redirects to {target}",
            "The verifier follows no redirect: configure the final URL.", status,
        )  # fmt: skip
    if status != 200:
        return Fault("bad_status", str(error), None, status)
    if recorder.headers.get("content-encoding", "identity").lower() != "identity":
        return Fault(
            "compressed",
            str(error),
            "Serve it without compression when the request accepts identity encoding only.",
            status,
        )
    return Fault("too_large", str(error), f"At most {MAX_BYTES} bytes are read.", status)


def _unreachable(error: BaseException) -> Fault:
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return Fault(
                "dns_failure", "the host has no address", "Check the name, and the DNS resolver of this host."
            )
        if isinstance(cause, ssl.SSLError):
            detail = getattr(cause, "verify_message", None) or cause.reason or "no reason given"
            return Fault(
                "tls_failure", f"TLS failed: {shortened(str(detail))}", "Check the certificate and the clock."
            )
    if any(isinstance(cause, TimeoutError | httpx.TimeoutException) for cause in causes):
        return Fault(
            "timeout", f"no answer within {TOTAL_TIMEOUT:g} s", "Check firewalls and the issuer's load."
        )
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Fault(
            "connection_refused", "the connection is refused", "No server listens there; check the port."
        )
    return Fault("unreachable", f"the request failed ({type(error).__name__})")


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
