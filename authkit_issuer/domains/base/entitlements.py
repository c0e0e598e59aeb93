"""Entitlements: read from the host's provider, never stored here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from authkit_issuer.errors import EntitlementsUnavailable
from authkit_issuer.errors.declared import raises
from authkit_issuer.identifiers import storable
from authkit_issuer.ports import Entitlement, EntitlementsOfMany, EntitlementsProvider
from authkit_issuer.runtime import Runtime

TIMEOUT = 2.0
"""Seconds the provider may take."""

List = list  # the method below shadows the builtin inside the class

logger = logging.getLogger("authkit.entitlements")


@dataclass(frozen=True, slots=True)
class Entitlements:
    """Reads the entitlements that the host grants."""

    rt: Runtime

    @property
    def provider(self) -> EntitlementsProvider | None:
        """The host's provider, or None."""
        return self.rt.entitlements_provider

    async def list(self, user_id: str) -> List[Entitlement]:
        """Return the entitlements in force now, none without a provider.

        Leaves out expired and revoked entries, blank names and repeats (in any letter case).

        Raises:
            EntitlementsUnavailable: The provider failed or took longer than two seconds.
        """
        provider = self.provider
        if provider is None:
            return []
        async with _calling(self.rt):
            return _kept(await provider.list_entitlements(user_id), self.rt.clock())

    @raises(EntitlementsUnavailable)
    async def list_names(self, user_id: str) -> List[str]:
        """Return the names in force now, sorted; raises as ``list`` does."""
        return [*_names(await self.list(user_id))]

    async def names_of_many(self, user_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the names in force now by user id, for a page of users.

        Calls the provider once if it is an ``EntitlementsOfMany``, else once per user, within two seconds in
        all. Empty if the provider fails: the entitlements of a user who is not in the result are unknown.
        """
        provider, now = self.provider, self.rt.clock()
        if provider is None:
            return dict.fromkeys(user_ids, ())
        try:
            async with _calling(self.rt):
                given = await _of_many(provider, user_ids)
                return {user_id: _names(_kept(given.get(user_id, ()), now)) for user_id in user_ids}
        except EntitlementsUnavailable:
            return {}

    async def for_token(self, user_id: str) -> List[str]:
        """Return the names for a token, none if the provider fails: the login goes on without them."""
        try:
            return await self.list_names(user_id)
        except EntitlementsUnavailable:
            return []


@asynccontextmanager
async def _calling(rt: Runtime) -> AsyncGenerator[None]:
    """Limit the time of a provider and turn its errors into ``EntitlementsUnavailable``."""
    try:
        async with asyncio.timeout(TIMEOUT):
            yield
    except Exception as error:
        rt.failures["entitlements"] += 1
        logger.error("entitlements provider failed: %s", type(error).__name__)  # noqa: TRY400
        raise EntitlementsUnavailable from error


async def _of_many(
    provider: EntitlementsProvider, user_ids: Sequence[str]
) -> Mapping[str, Sequence[Entitlement]]:
    if isinstance(provider, EntitlementsOfMany):
        return await provider.list_entitlements_many(user_ids)
    return {user_id: await provider.list_entitlements(user_id) for user_id in user_ids}


def _names(entries: Sequence[Entitlement]) -> tuple[str, ...]:
    return tuple(sorted(entry.name.strip() for entry in entries))


def _kept(given: Sequence[Entitlement], clock: float) -> list[Entitlement]:
    """Return the entries in force. Inside ``_calling``: an unreadable entry is a failure of the provider."""
    now = datetime.fromtimestamp(clock, UTC)
    found: dict[str, Entitlement] = {}
    for entry in given:
        name = entry.name.strip()
        if name and storable(name) and _in_force(entry, now):
            found.setdefault(name.lower(), entry)
    return list(found.values())


def _in_force(entry: Entitlement, now: datetime) -> bool:
    ends = [moment for moment in (entry.expires_at, entry.revoked_at) if moment is not None]
    return all(moment > now for moment in ends)
