"""What an operator does to an account, with one person always left who may undo it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.roles import ADMIN, LOCK, OTHER_HOLDERS, Roles
from authkit_issuer.domains.lifecycle.service import Lifecycle
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Guarded:
    """Bans and deletes anybody but the last administrator who may act."""

    rt: Runtime

    async def ban(
        self, user_id: str, reason: str | None, until: datetime | None, *, actor: str, client: Client | None
    ) -> None:
        """Ban as ``lifecycle.ban`` does; raises ``CannotRemoveLastAdminRole`` too."""
        async with self._keeping_an_admin(user_id) as tx:
            await Lifecycle(tx).ban(user_id, reason, until, actor, client=client)

    async def delete(self, user_id: str, *, soft: bool, actor: str, client: Client | None) -> None:
        """Delete as ``lifecycle.delete`` does; raises ``UserNotFound``, ``CannotRemoveLastAdminRole`` too."""
        async with self._keeping_an_admin(user_id) as tx:
            if not await Lifecycle(tx).delete(user_id, soft, actor=actor, client=client):
                raise errors.UserNotFound

    @asynccontextmanager
    async def _keeping_an_admin(self, user_id: str) -> AsyncGenerator[Runtime, None]:
        """Yield a transaction that holds the role's row, as the taking of roles does.

        Of two administrators who ban each other at one moment, the second thus waits and is refused.
        """
        person = identifiers.user_id(user_id)
        if person is None:
            raise errors.UserNotFound
        async with self.rt.transaction() as tx:
            role = await tx.maybe(LOCK, ADMIN)
            was_admin = ADMIN in await Roles(tx).list_for_user(person)
            yield tx
            if role is not None and was_admin and not await tx.one(OTHER_HOLDERS, role, person):
                raise errors.CannotRemoveLastAdminRole
