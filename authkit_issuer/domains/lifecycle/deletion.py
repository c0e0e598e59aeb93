"""Deleting accounts permanently: one, or every one whose retention has ended.

``DUE`` says when a retention has ended, ``Config.deleted_user_retention`` how long it is.
``store.predicates.RESTORABLE`` says whose owner may restore the account until then; ``orgs.service`` deletes
organizations. The events of the audit trail stay: ``lifecycle.service`` anonymises them on request.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.lifecycle.invariants import keep_owners
from authkit_issuer.domains.orgs.service import Orgs
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.errors import Unavailable
from authkit_issuer.errors.causes import cause
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A soft-deleted user, as the purge walks over them."""

    user_id: str
    deleted_at: datetime


# The accounts it has banned as well: its deletion changes them, and two who banned each other and are deleted
# at once would each hold what the other wants.
HOLD_WITH_BANNED = Query(
    str,
    """
    select id::text from profiles.users where id = $1::uuid or banned_by = $1::uuid
    order by id for no key update
    """,
)

# Everything that belongs to the account goes with it, its personal organization included; what merely
# mentions it (the author of a ban, of an invitation) forgets it.
DELETE = Statement("delete from profiles.users where id = $1::uuid")


def _due(retention: str, token_life: str) -> str:
    # Names are free after a purge. An account that waits for its erasure keeps them until its last token has
    # expired: that token would name the next holder's organization.
    ended = f"deleted_at < now() - {retention}::float8 * interval '1 second'"
    erased = f"erase_requested and deleted_at < now() - {token_life}::float8 * interval '1 second'"
    return f"({erased} or {ended})"


DUE = Query(
    Deleted,
    f"""
    select id::text as user_id, deleted_at from profiles.users
    where {_due("$1", "$5")}
      and ($2::timestamptz is null or (deleted_at, id) > ($2, $3::uuid))
    order by deleted_at, id limit $4
    """,
)

# Not the stronger lock of a deletion: while the host cleans up, its own rows may still refer to this one.
HOLD_IF_DUE = Query(
    str,
    f"""
    select id::text from profiles.users
    where id = $1::uuid
      and {_due("$2", "$3")}
    for no key update skip locked
    """,
)


BeforePurge = Callable[[str], Awaitable[None]]
"""Called with the id of a user right before the user is deleted permanently."""

logger = logging.getLogger("authkit.purge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What a purge did: the ids it deleted, and the errors that kept the others, by id."""

    deleted: tuple[str, ...]
    failed: Mapping[str, Exception]


async def delete_permanently(
    rt: Runtime,
    user_id: str,
    *,
    force: bool = False,
    actor: str | None = None,
    client: Client | None = None,
) -> bool:
    """Delete the account with this canonical id in one transaction; False if it does not exist."""
    async with rt.transaction() as tx:
        if user_id not in await tx.all(HOLD_WITH_BANNED, user_id):
            return False
        left = await keep_owners(tx, user_id, force=force)
        for org in left:
            if not org.has_members:
                await Orgs(tx).delete(org.id, actor=actor, client=client)
        await Sessions(tx).revoke_all(
            user_id, reason=SessionRevokeReason.ADMIN_REVOKE_ALL, actor=actor, client=client
        )
        await Events(tx).record(
            SessionEventType.USER_DELETED, user_id=user_id, actor=actor, target=user_id, client=client
        )
        await tx.execute(DELETE, user_id)
        await Guesses(tx).forget_user(user_id)
    return True


async def purge(rt: Runtime, *, retention: float, batch: int, before: BeforePurge | None) -> Purged:
    """Delete every user whose retention has ended; tries each once, and goes on after a failure."""
    deleted: list[str] = []
    failed: dict[str, Exception] = {}
    last: Deleted | None = None
    while page := await _due_after(rt, last, retention, batch):
        for user in page:
            last = user
            try:
                if await _purge_one(rt, user.user_id, retention, before):
                    deleted.append(user.user_id)
            except Exception as error:  # noqa: BLE001 - reported; the next user may well be deletable
                failed[user.user_id] = error
                logger.warning("user %s was not purged: %s", user.user_id, cause(error))
                if isinstance(error, Unavailable):
                    break  # Asking for the next page raises when it is the database that is gone.
    return Purged(deleted=tuple(deleted), failed=failed)


async def _due_after(rt: Runtime, last: Deleted | None, retention: float, batch: int) -> list[Deleted]:
    """Return the next users whose retention has ended, the oldest deletion first."""
    position = (last.deleted_at, last.user_id) if last else (None, None)
    return await rt.all(DUE, retention, *position, batch, rt.config.access_token_duration)


async def _purge_one(rt: Runtime, user_id: str, retention: float, before: BeforePurge | None) -> bool:
    """Delete one user; False if the user was restored, or another purge holds the row."""
    async with rt.transaction() as tx:
        if await tx.maybe(HOLD_IF_DUE, user_id, retention, rt.config.access_token_duration) is None:
            return False
        if before is not None:
            # Under the lock: a user must not be restored after the host has deleted its data.
            await before(user_id)
        return await delete_permanently(tx, user_id)
