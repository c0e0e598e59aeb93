"""Asking a range service whether a password is known from a breach, without telling it the password.

Only the first five of the forty digits of its SHA-1 leave this process, and the answer holds hundreds of
candidates (k-anonymity); padding hides their number from an observer of the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging

import httpx

from authkit_issuer import errors

RANGE_SERVICE = "https://api.pwnedpasswords.com"
MAX_ANSWER = 1 << 20
_PREFIX = 5
_OK = 200

logger = logging.getLogger("authkit.breaches")


class RangeBreachCheck:
    """A ``BreachCheck`` over a range service: ``GET <base_url>/range/<5 hex digits>``.

    ``fail_open`` decides what an outage means: True lets passwords pass and warns in the log, False raises
    ``BreachCheckUnavailable``, so that no password can be set while the service is down.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        base_url: str = RANGE_SERVICE,
        timeout: float = 2.0,
        minimum: int = 1,
        fail_open: bool = True,
    ) -> None:
        """Take the client, which stays the host's to close.

        ``timeout`` is for the whole answer, in seconds; ``minimum`` is how often a password must have been
        seen.
        """
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout
        self._minimum = minimum
        self._fail_open = fail_open

    async def is_breached(self, password: str) -> bool:
        """See ``BreachCheck``."""
        # Not a choice of ours: the service is indexed by SHA-1. Nothing is protected by it here.
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._fetch(digest[:_PREFIX])
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, _UnusableAnswerError) as error:
            # The class alone, and not chained: the address holds digits of the digest.
            logger.warning("breach check failed: %s", type(error).__name__)
            if self._fail_open:
                return False
            raise errors.BreachCheckUnavailable from None
        return self._seen(answer, digest[_PREFIX:]) >= self._minimum

    async def _fetch(self, prefix: str) -> str:
        body = bytearray()
        async with self._client.stream(
            "GET",
            f"{self._base_url}/range/{prefix}",
            headers={"Add-Padding": "true", "Accept-Encoding": "identity"},
            follow_redirects=False,
        ) as answer:
            if answer.status_code != _OK:
                raise _UnusableAnswerError
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise _UnusableAnswerError
        return body.decode("ascii", "replace")

    def _seen(self, answer: str, suffix: str) -> int:
        """Return how often the password was seen; padding lines say 0."""
        for line in answer.splitlines():
            candidate, _, count = line.partition(":")
            if candidate.strip().upper() == suffix:
                return int(count) if count.strip().isdigit() else 1
        return 0


class _UnusableAnswerError(Exception):
    """The service answered something else than a range."""
