"""Asks one issuer about tokens: one request per token at a time, within limits, with a pause after failures.

No request is made without a caller that waits for its answer. Event loops may come and go, and run in several
threads: each has its own requests, and they share the answers. ``request`` makes the request, ``answers``
keeps the answers, and ``circuit`` says for how long the pause lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from typing import Any, TypedDict

from authkit_verify._jwks.client import Clients
from authkit_verify._jwks.discovery import NoMetadata, discover
from authkit_verify._jwks.fetch import CONNECT_TIMEOUT, TOTAL_TIMEOUT
from authkit_verify._jwks.fetch_error import FetchError, failure_of
from authkit_verify._jwks.fetch_limits import TRUSTED_FOR
from authkit_verify._jwks.issuer_keys import removed_issuer
from authkit_verify._policy.introspection.answers import Answer, Answers, Failure, Outcome, digest
from authkit_verify._policy.introspection.circuit import Circuit
from authkit_verify._policy.introspection.request import ask, unknown_token
from authkit_verify._telemetry.events import Emit, noop
from authkit_verify.config import IssuerAccept
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.introspection import Introspection
from authkit_verify.errors import TokenError

_WAITING = 32
"""Requests that may wait, for each one that may run: more callers are refused at once."""


class IntrospectionHealth(TypedDict):
    """The state of one issuer's introspection endpoint, in plain JSON types; durations are seconds."""

    url: str | None
    """The URL of the endpoint without its query; None until the metadata has named it."""
    failures: int
    """Requests that failed in a row because the endpoint is unavailable."""
    last_error: str | None
    """Why the newest request failed, with its URL; None if it brought an answer."""
    next_try_in: float
    """Seconds until the next request is allowed; 0 if it is allowed now."""


class Introspector:
    """The introspection endpoint of one issuer. ``clock`` returns seconds and never goes back."""

    def __init__(
        self,
        accept: IssuerAccept,
        settings: Introspection,
        clients: Clients,
        clock: Callable[[], float],
        emit: Emit = noop,
    ) -> None:
        self.settings = settings
        self._accept = accept
        self._client = clients.of(accept)
        self._clock = clock
        self._answers = Answers(clock, settings.max_answers)
        self._circuit = Circuit(accept.issuer, clock, emit)
        self._url = settings.url
        self._located_at = -math.inf
        self._requests: dict[asyncio.AbstractEventLoop, _Requests] = {}
        self._retired = False
        self._retirement: Callable[[], TokenError] = removed_issuer

    async def ask(self, token: str) -> Answer:
        """Return the answer about a token, which may be an earlier one that still counts.

        Raises TokenError ``introspection_unavailable`` without one, and ``token_inactive`` for a token that
        is not active.
        """
        key, arrived = digest(token), self._clock()
        outcome = self._answers.get(key) or await self._ask_endpoint(key, token)
        if isinstance(outcome, Answer) and outcome.claims is not None and outcome.until < arrived:
            # Of a request that had begun too long before: what has changed since counts for this caller.
            outcome = await self._ask_endpoint(key, token)
        if self._retired:
            raise self._retirement()
        if isinstance(outcome, Failure):
            raise _unavailable(outcome.until - self._clock())
        if outcome.claims is None:
            raise TokenError("token_inactive", "the issuer says that the token is not active")
        return outcome

    def counts(self, answer: Answer) -> bool:
        """True if an answer still counts."""
        return self._clock() < answer.until and not self._retired

    def age(self, answer: Answer) -> float:
        """Return the seconds since the issuer was asked."""
        return self._clock() - answer.asked_at

    @property
    def is_located(self) -> bool:
        """True if the URL of the endpoint is known."""
        return self._url is not None

    @property
    def last_error(self) -> str | None:
        """Why the newest request failed, with its URL; None if it brought an answer."""
        return self._circuit.last_error

    def requests(self) -> tuple[int, int]:
        """Return the number of requests that brought an answer, and of those that failed."""
        return self._circuit.successes, self._circuit.total_failures

    def health(self) -> IntrospectionHealth:
        """Return the state of the endpoint, without any I/O."""
        return {
            "url": None if self._url is None else self._url.partition("?")[0],
            "failures": self._circuit.failures,
            "last_error": self._circuit.last_error,
            "next_try_in": self._circuit.wait,
        }

    async def warm(self) -> None:
        """Find the URL of the endpoint, so that the first token does not wait for that. Never raises."""
        if self._url is not None or self._circuit.wait > 0:
            return
        failure: FetchError | None = None
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT), self._client() as client:
                await self._locate(client)
        except FetchError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a host's client may raise anything
            failure = failure_of(error, within=TOTAL_TIMEOUT).at(self._accept.issuer)
        if failure is not None:
            self._circuit.fail(failure)

    async def aclose(self) -> None:
        """Cancel the requests that are running on this event loop."""
        here = self._requests.get(asyncio.get_running_loop())
        running = set(here.running.values()) if here is not None else set()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def retire(self, retirement: Callable[[], TokenError] = removed_issuer) -> None:
        """Cancel the requests of every event loop, forget every answer, and never ask again.

        ``retirement`` makes the refusal of requests that are waiting.
        """
        self._retired, self._retirement = True, retirement
        self._answers.clear()
        here = asyncio.get_running_loop()
        for loop, requests in list(self._requests.items()):
            if loop is not here:
                for task in list(requests.running.values()):
                    with contextlib.suppress(RuntimeError):  # closed meanwhile
                        loop.call_soon_threadsafe(task.cancel)
        await self.aclose()

    def _here(self) -> _Requests:
        loop = asyncio.get_running_loop()
        found = self._requests.get(loop)
        if found is None:
            for other in [one for one in list(self._requests) if one.is_closed()]:
                self._requests.pop(other, None)
            found = self._requests[loop] = _Requests(self.settings.max_concurrent)
        return found

    async def _ask_endpoint(self, key: bytes, token: str) -> Outcome:
        """Return the outcome of a request about a token, or of one that is running already."""
        here = self._here()
        running = here.running.get(key)
        if running is None:
            refusal = await self._turn(here)
            if refusal is not None:
                return refusal
            running = here.running.get(key) or self._start(here, key, token)
        # asyncio.wait leaves the request alone when one of its callers is cancelled.
        await asyncio.wait({running})
        return self._failed() if running.cancelled() else running.result()

    async def _turn(self, here: _Requests) -> Failure | None:
        """Wait until a request is allowed; return the outcome without one.

        Before the endpoint is known, and after failures, requests go one by one until the first answer.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limit
        while True:
            if self._retired:
                raise self._retirement()
            if self._circuit.wait > 0 or len(here.running) >= _WAITING * self.settings.max_concurrent:
                return self._failed()
            alone = self._url is None or self._circuit.failures > 0
            if not (alone and here.running):
                return None
            left = deadline - loop.time()
            if left <= 0:
                return self._failed()
            await asyncio.wait(here.running.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)

    @property
    def _limit(self) -> float:
        """Seconds for one request, and for finding the endpoint if it is not known."""
        return self.settings.timeout + (TOTAL_TIMEOUT if self._must_locate else 0.0)

    @property
    def _must_locate(self) -> bool:
        """True if a request has to read in the metadata where the endpoint is, or if it is there still."""
        named = self.settings.url is not None
        return self._url is None or (not named and self._clock() - self._located_at >= TRUSTED_FOR)

    def _failed(self) -> Failure:
        return Failure(until=self._clock() + self._circuit.wait)

    def _start(self, here: _Requests, key: bytes, token: str) -> asyncio.Task[Outcome]:
        task = asyncio.get_running_loop().create_task(self._run(here, key, token))
        here.running[key] = task
        task.add_done_callback(lambda _: here.running.pop(key, None))
        return task

    async def _run(self, here: _Requests, key: bytes, token: str) -> Outcome:
        """Ask about a token, and remember the outcome. Returns every failure, so that none is chained.

        An exception of a client may hold its request, and so the token and the credentials.
        """
        limit, sent = self._limit, False
        document: dict[str, Any] = {}
        failure: FetchError | None = None
        asked_at = self._clock()
        try:
            async with asyncio.timeout(limit), here.slots:
                if self._circuit.wait > 0:  # opened while this one waited
                    return self._failed()
                sent, asked_at = True, self._clock()
                async with self._client() as client:
                    url = await self._locate(client)
                    document = await ask(client, url, token, self.settings)
        except FetchError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - a host's client may raise anything
            failure = failure_of(error, within=limit).at(self._url or self._accept.issuer)
        if not sent:  # every request that runs is slow: that says nothing new of the endpoint
            return self._failed()
        if failure is None:
            outcome: Outcome = self._read(document, asked_at)
        else:
            outcome = self._fail(failure, of_token=await self._answers_others(failure))
        if not self._retired:
            self._answers.put(key, outcome)
        return outcome

    def _read(self, document: dict[str, Any], asked_at: float) -> Answer:
        self._circuit.succeed()
        active = document.pop("active", None)
        if type(active) is not bool:
            failure = FetchError("the response has no boolean active, so the token is refused")
            self._circuit.warn(str(failure.at(self._url or self._accept.issuer)))
        # Time counts from the request: the issuer may have looked at any moment after it.
        if active is True:
            return Answer(document, asked_at, asked_at + self.settings.max_ttl)
        return Answer(None, asked_at, asked_at + self.settings.negative_ttl)

    async def _answers_others(self, failure: FetchError) -> bool:
        """True if the endpoint, which failed on a token, answers about one that it cannot know."""
        if self._url is None or self._circuit.wait > 0 or not self._circuit.is_unclear(failure):
            return False
        try:
            async with asyncio.timeout(min(CONNECT_TIMEOUT, self.settings.timeout)), self._client() as client:
                await ask(client, self._url, unknown_token(self.settings), self.settings)
        except FetchError as error:
            return not self._circuit.concerns_endpoint(error)
        except Exception:  # noqa: BLE001 - a host's client may raise anything
            return False
        self._circuit.succeed()
        return True

    def _fail(self, failure: FetchError, *, of_token: bool) -> Failure:
        if self.settings.url is None and self._circuit.concerns_endpoint(failure) and not of_token:
            self._url = None  # it may have moved: the metadata is read again
        return Failure(until=self._circuit.fail(failure, of_token=of_token))

    async def _locate(self, client: HttpClient) -> str:
        """Return the URL of the endpoint: as configured, or as the metadata names it."""
        known = self._url
        if known is not None and not self._must_locate:
            return known
        self._located_at = self._clock()  # before it is known: the other requests go on meanwhile
        try:
            async with asyncio.timeout(None if known is None else CONNECT_TIMEOUT):
                self._url = found = await locate_endpoint(client, self._accept)
        except Exception:  # whatever it is: the last known endpoint may still answer
            if known is None:
                raise
            return known
        return found


class _Requests:
    """The requests of one event loop, by the digest of their token."""

    def __init__(self, max_concurrent: int) -> None:
        self.running: dict[bytes, asyncio.Task[Outcome]] = {}
        self.slots = asyncio.Semaphore(max_concurrent)


async def locate_endpoint(client: HttpClient, accept: IssuerAccept) -> str:
    """Return the URL that the issuer's metadata names. Raises FetchError without one."""
    try:
        async with asyncio.timeout(TOTAL_TIMEOUT):
            return await discover(
                client, accept.issuer, allows=accept.allows_url, same_origin=accept.same_origin,
                shared=accept.metadata_url, member="introspection_endpoint",
            )  # fmt: skip
    except NoMetadata as reason:
        raise FetchError(f"{reason}; set Introspection.url").at(accept.issuer) from None


def _unavailable(wait: float) -> TokenError:
    return TokenError(
        "introspection_unavailable",
        "the issuer cannot be asked about the token",
        retry_after=max(wait, 0.0),
    )
