"""Entitlements: asked of the host's provider, never stored here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from authkit_issuer.errors import EntitlementsUnavailable
from authkit_issuer.identifiers import storable
from authkit_issuer.ports import Entitlement, EntitlementsProvider
from authkit_issuer.runtime import Runtime

TIMEOUT = 2.0
"""Seconds the provider may take."""

List = list  # the method below shadows the builtin inside the class

logger = logging.getLogger("authkit.entitlements")


@dataclass(frozen=True, slots=True)
class Entitlements:
    """Reads what the host grants."""

    rt: Runtime

    @property
    def provider(self) -> EntitlementsProvider | None:
        """The host's provider, or None."""
        return self.rt.entitlements_provider

    async def list(self, user_id: str) -> List[Entitlement]:
        """Return what is in force now; without a provider nothing is.

        Expired and revoked entries, blank names and repeats (in any letter case) are left out. A provider
        that fails or takes longer than two seconds raises ``EntitlementsUnavailable``.
        """
        if self.provider is None:
            return []
        try:
            async with asyncio.timeout(TIMEOUT):
                return _kept(await self.provider.list_entitlements(user_id), self.rt.clock())
        except Exception as error:
            logger.error("entitlements provider failed: %s", type(error).__name__)  # noqa: TRY400
            raise EntitlementsUnavailable from error

    async def list_names(self, user_id: str) -> List[str]:
        """Return the names in force now, sorted; raises as ``list`` does."""
        return sorted(entry.name.strip() for entry in await self.list(user_id))

    async def for_token(self, user_id: str) -> List[str]:
        """Return the names for a token: a failing provider costs the entitlements, not the login."""
        try:
            return await self.list_names(user_id)
        except EntitlementsUnavailable:
            return []


def _kept(given: Sequence[Entitlement], clock: float) -> list[Entitlement]:
    """Return what counts. Part of asking the provider: an entry that cannot be read is a failure of its."""
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
