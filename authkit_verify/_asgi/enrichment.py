"""The host's own records of a caller, read besides the token. Off unless a source is given.

It fails closed: a user whom the source does not allow is refused. While the source is unavailable, every user
is refused, as an outage and never as a bad credential. Only callers of issuers that name the host's own users
are looked up: the ``sub`` of any other issuer may equal a user id here and mean another user.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, Protocol

from cachetools import TLRUCache

from authkit_verify._asgi.challenge import AccessDenied
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._verify.sync_verifier import SyncVerifier
from authkit_verify._verify.verifier import Verifier
from authkit_verify.config.tenants import IssuerTemplate
from authkit_verify.errors import TokenError

TTL = 30.0
"""Seconds an answer is cached: the longest time until a ban takes effect."""
TIMEOUT = 2.0
"""Seconds to wait for an answer."""
MAX_USERS = 10_000
"""Users whose answers are cached."""

logger = logging.getLogger("authkit.enrichment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """The host's records of a user at this moment."""

    allowed: bool
    """False refuses the user with ``user_disabled``."""
    roles: tuple[str, ...] = ()
    """The user's global roles. Default none."""
    email: str | None = None
    """The user's email address, used if the token has none. Default None."""
    discord_username: str | None = None
    """The user's name on Discord, preferred to the token's. Default None."""


class EnrichmentSource(Protocol):
    """The host's records, such as an issuer's ``service.enrichment()``."""

    async def enrich(self, user_id: str) -> Enrichment:
        """Return the record of a user; an unknown user is not ``allowed``. Raises if it is unavailable."""
        ...


Roles = Literal["missing", "always", "never"]
"""The global roles that count. ``missing``: the token's, or the records' if it has none. ``always``: only the
records', so that a caller who is not looked up has none. ``never``: only the token's."""


class Enricher:
    """Asks a source once per user and ``ttl``, however many requests need the answer.

    Several middlewares may share one. The records' roles never count for a token of an organization.

    Args:
        source: The host's records.
        issuers: The issuers whose ``sub`` is a user id of the source; at least one.
        roles: The global roles that count (``Roles``). Default ``missing``.
        live_gate: Refuse a user who is not ``allowed``. If False, the source is asked only for its roles.
            Default True.
        ttl: Seconds an answer is cached. Default 30.
        timeout: Seconds to wait for an answer before the caller is refused. Default 2.
        max_users: The most users whose answers are cached. Default 10000.
        clock: Returns seconds and never goes back. Default ``time.monotonic``.

    Raises:
        ValueError: ``issuers`` is empty or a single string, or ``roles`` is unknown.
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
            raise ValueError(f"issuers must be a list of at least one issuer, not {issuers!r}")
        if roles not in {"missing", "always", "never"}:
            raise ValueError(f"roles must be 'missing', 'always' or 'never', not {roles!r}")
        self.issuers = frozenset(issuers)
        self._source = source
        self._roles: Roles = roles
        self._live_gate = live_gate
        self._timeout = timeout
        self._clock = clock
        # Time counts from the question: the source may have looked at any moment after it.
        self._known: TLRUCache[str, tuple[float, Enrichment]] = TLRUCache(
            max_users, lambda _user_id, known, _now: known[0] + ttl, timer=clock
        )
        self._asking: dict[str, asyncio.Task[Enrichment]] = {}

    async def of(self, claims: Claims) -> Enrichment | None:
        """Return the record of the caller; None if the records are not asked about this caller.

        Raises TokenError ``user_disabled`` for a user who is not allowed, AccessDenied
        ``enrichment_unavailable`` if the source fails or does not answer within the timeout.
        """
        if claims.issuer not in self.issuers or not self._needed(claims):
            return None
        known = self._remembered(claims.user_id)
        if known is None:
            known = await self._ask(claims.user_id)
        if self._live_gate and not known.allowed:
            raise TokenError("user_disabled", "the user is disabled")
        return known

    async def confirms(self, claims: Claims, role: str) -> bool:
        """True if the records give the caller this global role at this moment; the token does not count.

        A cached record may refuse, but only a new answer of the source confirms. Raises AccessDenied
        ``enrichment_unavailable``.
        """
        if claims.issuer not in self.issuers or claims.has_org:
            return False
        known = self._remembered(claims.user_id)
        if known is not None and not _holds(known, role):
            return False
        await self._earlier(claims.user_id)
        return _holds(await self._ask(claims.user_id), role)

    def roles_of(self, claims: Claims, known: Enrichment | None) -> tuple[str, ...]:
        """Return the global roles that count for a caller with this record."""
        if claims.has_org:  # the records' roles are never those of an organization's token
            return () if self._roles == "always" else claims.roles
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
            return self._known[user_id][1]
        except KeyError:
            return None

    async def _earlier(self, user_id: str) -> None:
        """Wait for a question that is running: it may have been answered before the last change."""
        task = self._asking.get(user_id)
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({task})

    async def _ask(self, user_id: str) -> Enrichment:
        task = self._asking.get(user_id)
        # A task of a loop that is gone never ends; it must not hold up this one.
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._asking[user_id] = asyncio.create_task(self._answer(user_id))
            task.add_done_callback(lambda done: self._forget(user_id, done))
        try:
            # Shielded: one caller who disconnects must not take the answer from the others.
            return await asyncio.shield(task)
        except Exception as error:
            raise AccessDenied("enrichment_unavailable", "the user's records are unavailable") from error

    def _forget(self, user_id: str, done: asyncio.Task[Enrichment]) -> None:
        if self._asking.get(user_id) is done:
            del self._asking[user_id]

    async def _answer(self, user_id: str) -> Enrichment:
        asked_at = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._source.enrich(user_id)
        except Exception as error:
            logger.warning("enrichment failed: %s", type(error).__name__)
            raise
        self._known[user_id] = asked_at, answer
        return answer


def enricher_for(
    enrichment: EnrichmentSource | Enricher | None, verifier: Verifier | SyncVerifier
) -> Enricher | None:
    """Return the enricher for callers of these issuers; None without a source.

    A bare source belongs to the only issuer. Among several issuers, tenants, and issuers that are loaded, an
    ``Enricher`` must name its own; raises ValueError otherwise.
    """
    if enrichment is None:
        return None
    accepted = verifier.config
    issuers = {accept.issuer for accept in accepted.issuers if accept.tenants is None}
    templates = [IssuerTemplate(accept.issuer) for accept in accepted.issuers if accept.tenants is not None]
    if not isinstance(enrichment, Enricher):
        if len(issuers) > 1 or templates or verifier.loads_issuers:
            raise ValueError(
                "several issuers are accepted: name those of the records with Enricher(source, issuers=[...])"
            )
        return Enricher(enrichment, issuers=issuers)
    unknown = {
        name
        for name in enrichment.issuers - issuers
        if all(template.tenant_of(name) is None for template in templates)
    }
    if unknown and not verifier.loads_issuers:
        raise ValueError(f"Enricher.issuers lists issuers that are not accepted: {sorted(unknown)}")
    return enrichment


def _holds(known: Enrichment, role: str) -> bool:
    return known.allowed and role.casefold() in {held.casefold() for held in known.roles}
