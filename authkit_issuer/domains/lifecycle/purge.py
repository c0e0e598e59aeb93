"""The purge: deletes for good who was soft-deleted long enough ago, one by one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from authkit_issuer.domains.lifecycle import queries as sql
from authkit_issuer.domains.lifecycle.deletion import Removal
from authkit_issuer.errors import Unavailable
from authkit_issuer.runtime import Runtime

DEFAULT_RETENTION = 30 * 86_400.0
"""Seconds a soft-deleted account can be restored, unless the configuration or the caller says otherwise."""

BeforePurge = Callable[[str], Awaitable[None]]
"""Called with the id of a user who is about to be deleted for good."""

logger = logging.getLogger("authkit.purge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What a purge did: the ids that are gone, and what kept the others."""

    deleted: tuple[str, ...]
    failed: Mapping[str, Exception]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One walk over the users who are due."""

    rt: Runtime
    retention: float
    batch: int
    before: BeforePurge | None

    async def run(self) -> Purged:
        """Delete whoever can be deleted; nobody is tried twice and nobody stands in the others' way."""
        deleted: list[str] = []
        failed: dict[str, Exception] = {}
        last: sql.Deleted | None = None
        while page := await self._page(last):
            for user in page:
                last = user
                try:
                    if await self._delete(user.user_id):
                        deleted.append(user.user_id)
                except Exception as error:  # noqa: BLE001 - reported; the next user may well be deletable
                    failed[user.user_id] = error
                    logger.warning("user %s was not purged: %s", user.user_id, type(error).__name__)
                    if isinstance(error, Unavailable):
                        break  # Asking for the next page raises when it is the database that is gone.
        return Purged(deleted=tuple(deleted), failed=failed)

    async def _page(self, last: sql.Deleted | None) -> list[sql.Deleted]:
        """Return the next users who are due, the oldest deletion first."""
        position = (last.deleted_at, last.user_id) if last else (None, None)
        return await self.rt.all(sql.DUE, self.retention, *position, self.batch)

    async def _delete(self, user_id: str) -> bool:
        """Delete one user unless they were restored, or another purge has them."""
        async with self.rt.transaction() as tx:
            if await tx.maybe(sql.HOLD_IF_DUE, user_id, self.retention) is None:
                return False
            if self.before is not None:
                # Under the lock: nobody may be restored after the host has deleted what was theirs.
                await self.before(user_id)
            return await Removal(rt=tx, user_id=user_id).run()
