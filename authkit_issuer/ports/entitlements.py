"""The host's source of entitlements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """One thing a user may use. Times are aware; None means no end."""

    name: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    source: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


class EntitlementsProvider(Protocol):
    """The host's source of entitlements."""

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        """Return the user's entitlements; an unknown user has none."""
        ...


@runtime_checkable
class EntitlementsOfMany(Protocol):
    """Optional extension of a provider: one question for a page of users."""

    async def list_entitlements_many(self, user_ids: Sequence[str]) -> Mapping[str, Sequence[Entitlement]]:
        """Return the entitlements by user id; a user left out has none."""
        ...
