"""The pause after failures of an endpoint, one line of the log for each cause, and the counters.

A failure that is due to the token alone puts off this token alone: an attacker with a token that the endpoint
cannot digest must not get every other one refused. Where a failure may be of either, ``introspector`` asks
about another token.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify._jwks.fetch_limits import MAX_BACKOFF, backoff, system_random
from authkit_verify._telemetry.events import Emit

log = logging.getLogger("authkit_verify")

_OF_THE_ENDPOINT = frozenset({401, 404, 405, 429, 502, 503, 504})
_UNCLEAR = frozenset({401, 404, 405, 502, 504})
_UNCLEAR_CODES = frozenset({"unreachable", "timeout"})
"""A firewall, or a process that dies of a token, drops the connection or lets it hang."""
_TOKEN_PAUSE = 2.0
"""Seconds for which a token is put off that the endpoint could not answer about."""
_MAX_CAUSES = 64


class Circuit:
    """The state of one endpoint. ``clock`` returns seconds and never goes back."""

    def __init__(self, issuer: str, clock: Callable[[], float], emit: Emit) -> None:
        self._issuer = issuer
        self._clock = clock
        self._emit = emit
        self._not_before = 0.0
        self._logged: set[str] = set()
        self.failures = 0
        """Failures of the endpoint in a row."""
        self.successes = 0
        """Requests that brought an answer."""
        self.total_failures = 0
        """Requests that failed."""
        self.last_error: str | None = None
        """Why the newest request failed, with its URL; None if it brought an answer."""

    @property
    def wait(self) -> float:
        """Seconds until a request is allowed; 0 if it is allowed now."""
        return max(0.0, self._not_before - self._clock()) if self.failures else 0.0

    @staticmethod
    def concerns_endpoint(failure: FetchError) -> bool:
        """True if a failure would meet every token."""
        return failure.status is None or failure.status in _OF_THE_ENDPOINT

    @staticmethod
    def is_unclear(failure: FetchError) -> bool:
        """True if a failure may meet every token, or this one alone."""
        return failure.status in _UNCLEAR or (failure.status is None and failure.code in _UNCLEAR_CODES)

    def succeed(self) -> None:
        """Count an answer; it ends the pause."""
        self.successes += 1
        if self.failures:
            log.info("introspection of %s: works again", self._issuer)
            self._logged.clear()
        self.failures = 0
        self.last_error = None

    def fail(self, failure: FetchError, *, of_token: bool = False) -> float:
        """Count a failure and report it. Return when the token may be asked about again.

        ``of_token`` is True if the endpoint has answered about another token since.
        """
        self.total_failures += 1
        self.last_error = str(failure)
        now, pause = self._clock(), _TOKEN_PAUSE
        if self.concerns_endpoint(failure) and not of_token:
            if now >= self._not_before or not self.failures:  # else one that began before the pause
                self.failures += 1
                pause = max(
                    backoff(self.failures, system_random), min(failure.retry_after or 0.0, MAX_BACKOFF)
                )
                self._not_before = now + pause
            else:
                pause = self._not_before - now
        self._emit("introspection_failed", self.last_error)
        self.warn(f"{self.last_error}; next try in {pause:.1f} s", cause=self.last_error)
        return now + pause

    def warn(self, text: str, *, cause: str | None = None) -> None:
        """Log a warning once for each cause: an outage of a day must not bury the rest of the log."""
        cause = cause or text
        new = cause not in self._logged and len(self._logged) < _MAX_CAUSES
        if new:
            self._logged.add(cause)
        log.log(
            logging.WARNING if new else logging.DEBUG,
            "introspection of %s: %s; `authkit doctor` checks the issuer",
            self._issuer, text,
        )  # fmt: skip
