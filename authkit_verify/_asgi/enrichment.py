"""Asking the host's own records about a caller, on top of what the token says. Off unless a source is given.

It fails closed: a user the source does not allow is refused, and so is everybody while it cannot answer, as
an outage and never as a bad credential. Only callers whose issuer names the host's own users are looked up:
the ``sub`` of any other issuer may equal a user id here and mean somebody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from cachetools import TTLCache

from authkit_verify._asgi.challenge import AccessDenied
from authkit_verify._policy.claims import Claims
from authkit_verify.config import AcceptConfig
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


Roles = Literal["missing", "always", "never"]
"""Whose global roles count. ``missing``: the token's, and the records' where it has none. ``always``: the
records' alone, so that a caller who is not looked up has none. ``never``: the token's."""


class Enricher:
    """Asks a source once per user and time span, however many requests want to know.

    ``issuers`` are those whose subjects are the source's user ids. With ``live_gate`` a user who is not
    allowed is refused; without it the source is asked only where its roles are needed. Roles never count for
    the token of an organization. One may be shared by several middlewares.
    """

    def __init__(
        self,
        source: EnrichmentSource,
        *,
        issuers: Collection[str],
        roles: Roles = "missing",
        live_gate: bool = True,
        ttl: float = TTL,
        timeout: float = TIMEOUT,
        max_users: int = MAX_USERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(issuers, str) or not issuers:
            raise ValueError("issuers is a list of at least one issuer")
        if roles not in {"missing", "always", "never"}:
            raise ValueError(f"roles is 'missing', 'always' or 'never', not {roles!r}")
        self.issuers = frozenset(issuers)
        self._source = source
        self._roles: Roles = roles
        self._live_gate = live_gate
        self._timeout = timeout
        self._known: TTLCache[str, Enrichment] = TTLCache(max_users, ttl, timer=clock)
        self._asking: dict[str, asyncio.Task[Enrichment]] = {}

    async def of(self, claims: Claims) -> Enrichment | None:
        """Return what is known of the caller, None when the records are not asked about this one.

        Raises TokenError ``user_disabled`` for a user who is not allowed, AccessDenied
        ``enrichment_unavailable`` when the source does not answer within the timeout.
        """
        if claims.issuer not in self.issuers or not self._needed(claims):
            return None
        known = self._remembered(claims.user_id)
        if known is None:
            known = await self._ask(claims.user_id)
        if self._live_gate and not known.allowed:
            raise TokenError("user_disabled", "the account may no longer be used")
        return known

    async def confirms(self, claims: Claims, role: str) -> bool:
        """Tell whether the records give the caller this global role at this moment, whatever the token says.

        A remembered no is believed for its time, a yes is always asked for again. Raises AccessDenied
        ``enrichment_unavailable``.
        """
        if claims.issuer not in self.issuers or claims.has_org:
            return False
        known = self._remembered(claims.user_id)
        if known is not None and not _holds(known, role):
            return False
        return _holds(await self._ask(claims.user_id), role)

    def roles_of(self, claims: Claims, known: Enrichment | None) -> tuple[str, ...]:
        """Return the global roles that count for a caller of whom this is known."""
        if claims.has_org:
            return ()
        recorded = known.roles if known is not None and known.allowed else ()
        if self._roles == "always":
            return recorded
        return claims.roles or recorded if self._roles == "missing" else claims.roles

    def _needed(self, claims: Claims) -> bool:
        if self._live_gate:
            return True
        return not claims.has_org and (
            self._roles == "always" or (self._roles == "missing" and not claims.roles)
        )

    def _remembered(self, user_id: str) -> Enrichment | None:
        try:  # not get(): that reads the clock twice, for the test and for the value
            return self._known[user_id]
        except KeyError:
            return None

    async def _ask(self, user_id: str) -> Enrichment:
        task = self._asking.get(user_id)
        # A task of a loop that is gone never ends; it must not hold up this one.
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[user_id] = asyncio.create_task(self._answer(user_id))
            task.add_done_callback(lambda done: self._forget(user_id, done))
        try:
            # Shielded: one caller who hangs up must not take the answer from the others.
            return await asyncio.shield(task)
        except Exception as error:
            raise AccessDenied("enrichment_unavailable", "the user's records cannot be read") from error

    def _forget(self, user_id: str, done: asyncio.Task[Enrichment]) -> None:
        if self._asking.get(user_id) is done:
            del self._asking[user_id]

    async def _answer(self, user_id: str) -> Enrichment:
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._source.enrich(user_id)
        except Exception as error:
            logger.warning("enrichment failed: %s", type(error).__name__)
            raise
        self._known[user_id] = answer
        return answer


def enricher_for(enrichment: EnrichmentSource | Enricher | None, accepted: AcceptConfig) -> Enricher | None:
    """Return what asks the records about callers of these issuers.

    A bare source belongs to the only issuer there is; among several, ``Enricher`` names those whose users it
    knows. Raises ValueError when that is left open.
    """
    if enrichment is None:
        return None
    issuers = {accept.issuer for accept in accepted.issuers}
    if not isinstance(enrichment, Enricher):
        if len(issuers) > 1:
            raise ValueError("several issuers are accepted: name yours with Enricher(source, issuers=[...])")
        return Enricher(enrichment, issuers=issuers)
    if unknown := enrichment.issuers - issuers:
        raise ValueError(f"enrichment for issuers that are not accepted: {sorted(unknown)}")
    return enrichment


def _holds(known: Enrichment, role: str) -> bool:
    return known.allowed and role.casefold() in {held.casefold() for held in known.roles}
