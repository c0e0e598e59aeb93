"""The log of requests that failed for a reason of the service, at most one line a second for each cause."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from authkit_issuer.errors import AuthError
from authkit_issuer.errors.causes import cause
from authkit_verify import TokenError

INTERVAL = 1.0
"""Seconds between two lines about one cause; an outage fails every request, and the access log has them."""
MOST = 100
"""Causes remembered at once."""

logger = logging.getLogger("authkit.http")


@dataclass(slots=True)
class _Seen:
    logged: float
    left_out: int = 0


class FailureLog:
    """Says why requests were answered with a 5xx."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing seen; ``clock`` returns seconds."""
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def note(self, request_id: str, where: str, error: AuthError | TokenError) -> None:
        """Log a failure of a request ``where``, or count it for the next line about its cause."""
        now = self._clock()
        code = error.code
        known = error.__cause__ is not None or (isinstance(error, AuthError) and bool(error.reason))
        why = f": {cause(error)}" if known else ""
        seen = self._seen.get(code + why)
        if seen is not None and now - seen.logged < INTERVAL:
            seen.left_out += 1
            return
        more = f" (and {seen.left_out} requests before)" if seen is not None and seen.left_out else ""
        logger.warning("request %s: %s is %s%s%s", request_id, where, code, why, more)
        if len(self._seen) >= MOST:
            self._seen.clear()
        self._seen[code + why] = _Seen(now)
