"""Asking the host's own records about a caller, on top of what the token says. Off unless a source is given.

The gate fails closed: a user the source does not allow is refused, and so is everybody while it cannot
answer, as an outage and never as a bad credential.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cachetools import TTLCache

from authkit_verify.challenge import AccessDenied
from authkit_verify.errors import TokenError

TTL = 30.0
"""Seconds an answer counts: how long a ban may take to be noticed."""
TIMEOUT = 2.0
MAX_USERS = 10_000

logger = logging.getLogger("authkit.enrichment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """What the records say of a user now; ``roles`` are global ones."""

    allowed: bool
    roles: tuple[str, ...] = ()
    email: str | None = None
    discord_username: str | None = None


class EnrichmentSource(Protocol):
    """The host's records, such as an issuer's ``service.enrichment()``."""

    async def enrich(self, user_id: str) -> Enrichment:
        """Return what is known of the user; an unknown one is not ``allowed``. Raises when it cannot tell."""
        ...


class Enricher:
    """Asks a source once per user and time span, however many requests want to know."""

    def __init__(
        self,
        source: EnrichmentSource,
        *,
        ttl: float = TTL,
        timeout: float = TIMEOUT,
        max_users: int = MAX_USERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._timeout = timeout
        self._known: TTLCache[str, Enrichment] = TTLCache(max_users, ttl, timer=clock)
        self._asking: dict[str, asyncio.Task[Enrichment]] = {}

    async def of(self, user_id: str) -> Enrichment:
        """Return what is known of an allowed user.

        Raises TokenError ``user_disabled`` for one who is not, AccessDenied ``enrichment_unavailable`` when
        the source does not answer within the timeout.
        """
        known = self._known.get(user_id)
        if known is None:
            known = await self._ask(user_id)
        if not known.allowed:
            raise TokenError("user_disabled", "the account may no longer be used")
        return known

    async def _ask(self, user_id: str) -> Enrichment:
        task = self._asking.get(user_id)
        if task is None:
            task = self._asking[user_id] = asyncio.create_task(self._answer(user_id))
            task.add_done_callback(lambda _: self._asking.pop(user_id, None))
        try:
            # Shielded: one caller who hangs up must not take the answer from the others.
            return await asyncio.shield(task)
        except Exception as error:
            raise AccessDenied("enrichment_unavailable", "the user's records cannot be read") from error

    async def _answer(self, user_id: str) -> Enrichment:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._source.enrich(user_id)
        except Exception as error:
            logger.warning("enrichment failed: %s", type(error).__name__)
            raise
        self._known[user_id] = answer
        return answer
