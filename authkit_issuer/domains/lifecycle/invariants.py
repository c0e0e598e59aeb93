"""What the end of an account must leave behind: an administrator, and an owner in each organization.

Both are checked in the transaction that bans or deletes, under the locks that the removal of a role takes:
``Roles.remove`` in ``accounts/roles.py``, and ``orgs/members.py`` for owners.
Locks have one order: the row of the role, the user's row, the rows of the organizations. Of two changes that
would together leave none, the second waits and is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.queries import LOCK_ROLE, OTHER_ROLE_HOLDERS
from authkit_issuer.domains.accounts.roles import ADMIN, Roles
from authkit_issuer.domains.lifecycle import queries as sql
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """An organization as it would be without one of its members."""

    id: str
    slug: str
    has_members: bool
    loses_owner: bool


# Organizations are locked after the user, like everywhere. Of two owners who are deleted at once, the second
# then sees that the first is gone. Personal ones too: what is deleted with them belongs to others as well.
HOLD_ORGS = Query(
    str,
    """
    select o.id::text from profiles.orgs o
    where o.deleted_at is null
      and o.id in (select m.org_id from profiles.org_members m where m.user_id = $1::uuid)
    order by o.id for no key update
    """,
)

_OTHER_OWNERS = """
    select from profiles.org_member_roles r join profiles.users u on u.id = r.user_id
    where r.org_id = o.id and r.role = 'owner' and r.user_id <> $2::uuid
"""

# Owners who may not act count only where the one who goes may not either: nothing gets worse then.
LEFT_BEHIND = Query(
    LeftBehind,
    f"""
    select o.id::text, o.slug, exists (
               select from profiles.org_members m where m.org_id = o.id and m.user_id <> $2::uuid
           ) as has_members,
           exists (
               select from profiles.org_member_roles r join profiles.users l on l.id = r.user_id
               where r.org_id = o.id and r.role = 'owner' and r.user_id = $2::uuid and l.deleted_at is null
           ) and not exists ({_OTHER_OWNERS} and (
               {ALLOWED} or not (select {ALLOWED} from profiles.users u where u.id = $2::uuid)
           )) as loses_owner
    from profiles.orgs o where o.id = any($1::text[]::uuid[]) and not o.is_personal
    """,
)


MAX_NAMED = 20
"""How many organizations a refusal names."""


async def keep_an_admin(tx: Runtime, user_id: str) -> None:
    """Refuse to end the last administrator who may act; called before any user's row is locked.

    Raises:
        CannotRemoveLastAdminRole: No other administrator may act.
    """
    role = await tx.maybe(LOCK_ROLE, ADMIN)
    if role is None or ADMIN not in await Roles(tx).list_for_user(user_id):
        return
    if not await tx.one(OTHER_ROLE_HOLDERS, role, user_id) and await tx.maybe(sql.MAY_ACT, user_id):
        raise errors.CannotRemoveLastAdminRole


async def keep_owners(tx: Runtime, user_id: str, *, force: bool) -> list[LeftBehind]:
    """Lock the user's organizations, and refuse to take the only owner from one with other members.

    A soft-deleted user owns nothing any more: its final deletion takes no owner away.

    Args:
        tx: The transaction, which holds the user's row.
        user_id: The user who is about to be banned or deleted.
        force: Leave organizations without an owner.

    Returns:
        The organizations as they are without the user.

    Raises:
        CannotRemoveLastOwner: An organization would lose its owner; ``metadata["orgs"]`` names up to 20.
    """
    orgs = await tx.all(HOLD_ORGS, user_id)
    left = await tx.all(LEFT_BEHIND, orgs, user_id) if orgs else []
    ownerless = sorted(org.slug for org in left if org.has_members and org.loses_owner)
    if ownerless and not force:
        raise errors.CannotRemoveLastOwner(metadata={"orgs": ownerless[:MAX_NAMED]})
    return left
