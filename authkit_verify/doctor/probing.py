"""Request one document as the verifier does, and report precisely how that failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from authkit_verify._jwks.fetch import TOTAL_TIMEOUT, Answer, fetch
from authkit_verify._jwks.fetch_error import FetchError, failure_of
from authkit_verify._jwks.key_set_cache import Clock
from authkit_verify.config.http_client import HttpClient, StreamedResponse, Timeouts


@dataclass(frozen=True, slots=True)
class Probe:
    """One request: its answer or its fault, the response headers, and its times (seconds)."""

    url: str
    answer: Answer | None
    fault: FetchError | None
    headers: Mapping[str, str]
    middle: float
    """Unix time half-way between request and response."""
    took: float


async def probe(client: HttpClient, url: str, *, wall: Clock, timer: Clock) -> Probe:
    """Request a document once. Raises nothing but a cancellation."""
    recorder = _RecordingClient(client, timer)
    asked_at, began = wall(), timer()
    answer: Answer | None = None
    fault: FetchError | None = None
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT):
            answer = await fetch(recorder, url)
    except FetchError as error:
        fault = error
    except TimeoutError as error:
        fault = failure_of(error, within=TOTAL_TIMEOUT)
    took = timer() - began
    headed = recorder.headed_at - began if recorder.headed_at is not None else took
    return Probe(url, answer, fault, recorder.headers, asked_at + headed / 2, took)


class _RecordingClient:
    """A client that records the headers of the response, and when they came."""

    def __init__(self, client: HttpClient, timer: Clock) -> None:
        self._client = client
        self._timer = timer
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
        content: bytes = b"",
    ) -> AsyncGenerator[StreamedResponse]:
        """Send a request and yield the response before its body is read."""
        terms: dict[str, Any] = {"content": content} if content else {}  # not every client takes it
        async with self._client.stream(
            method, url, headers=headers, timeout=timeout, follow_redirects=follow_redirects, **terms
        ) as response:
            self.headed_at = self._timer()
            self.headers = {name.lower(): value for name, value in response.headers.items()}
            yield response
