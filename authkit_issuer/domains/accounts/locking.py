"""A user's row, held for the length of a change."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.queries import HOLD, Held
from authkit_issuer.runtime import Runtime


@asynccontextmanager
async def held_user(rt: Runtime, user_id: str) -> AsyncGenerator[tuple[Runtime, str, Held]]:
    """Open a transaction that holds the user's row; yields its Runtime, the canonical id and what is held.

    Raises ``UserNotFound``; a malformed id is nobody's and costs no query.
    """
    known = identifiers.user_id(user_id)
    if known is None:
        raise errors.UserNotFound
    async with rt.transaction() as tx:
        held = await tx.maybe(HOLD, known)
        if held is None:
            raise errors.UserNotFound
        yield tx, known, held
