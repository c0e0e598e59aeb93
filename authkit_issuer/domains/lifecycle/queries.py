"""The SQL of bans, deletions and purges."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A soft-deleted user, as the purge walks over them."""

    user_id: str
    deleted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """An organization as it would be without one of its members."""

    id: str
    slug: str
    has_members: bool
    loses_owner: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldContacts:
    """The contacts of a user whose row is locked."""

    allowed: bool
    email: str | None
    phone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What signed in until a recovery."""

    password: bool
    logins: int
    passkeys: int
    factors: int


# A shared lock that changes of the row itself pass: the author of a ban stays until the ban is written.
HOLD_AUTHOR = Query(str, "select id::text from profiles.users where id = $1::uuid for key share")
MAY_ACT = Query(bool, f"select {ALLOWED} from profiles.users u where u.id = $1::uuid")
HOLD_FOR_BAN = Query(
    bool,
    """
    select $2::timestamptz is null or $2 > now() from profiles.users where id = $1::uuid for no key update
    """,
)
BAN = Statement(
    """
    update profiles.users
    set banned_at = now(), banned_until = $2, ban_reason = $3, banned_by = $4::uuid, updated_at = now()
    where id = $1::uuid
    """
)
_NOT_BANNED = "banned_at = null, banned_until = null, ban_reason = null, banned_by = null, updated_at = now()"
UNBAN = Statement(f"update profiles.users set {_NOT_BANNED} where id = $1::uuid and banned_at is not null")
# The lock looks at the row again as it is then: a newer ban is not lifted with the lapsed one.
LIFT_LAPSED = Query(
    str,
    f"""
    with lapsed as (
        select id from profiles.users where banned_until <= now()
        order by banned_until, id limit $1 for no key update skip locked
    )
    update profiles.users u set {_NOT_BANNED} from lapsed where u.id = lapsed.id returning u.id::text
    """,
)
# The accounts it has banned as well: its deletion changes them, and two who banned each other and are deleted
# at once would each hold what the other wants.
HOLD_WITH_BANNED = Query(
    str,
    """
    select id::text from profiles.users where id = $1::uuid or banned_by = $1::uuid
    order by id for no key update
    """,
)
# An account that its owner deleted before is the operator's to restore from now on; otherwise an owner who is
# about to be deleted would delete first, and come back.
SOFT_DELETE = Statement(
    """
    update profiles.users
    set deleted_at = coalesce(deleted_at, now()), deleted_by_owner = false, updated_at = now()
    where id = $1::uuid and (deleted_at is null or deleted_by_owner)
    """
)
SOFT_DELETE_OWN = Statement(
    """
    update profiles.users set deleted_at = now(), deleted_by_owner = true, updated_at = now()
    where id = $1::uuid and deleted_at is null
    """
)
RESTORE = Statement(
    """
    update profiles.users
    set deleted_at = null, deleted_by_owner = false, erase_requested = false, auth_epoch = auth_epoch + 1,
        updated_at = now()
    where id = $1::uuid and deleted_at is not null
    """
)
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
# Everything that belongs to the account goes with it, its personal organization included; what merely
# mentions it (the author of a ban, of an invitation) forgets it.
DELETE = Statement("delete from profiles.users where id = $1::uuid")

HOLD_CONTACTS = Query(
    HeldContacts,
    f"""
    select {ALLOWED} as allowed, u.email, u.phone_number as phone from profiles.users u
    where u.id = $1::uuid for no key update
    """,
)
# Wallets are among the logins. The caller raises the epoch, which ends what devices remember.
DROP_WAYS_IN = Query(
    Dropped,
    """
    with password as (
        delete from profiles.user_passwords where user_id = $1::uuid returning 1
    ), logins as (
        delete from profiles.user_providers where user_id = $1::uuid returning 1
    ), passkeys as (
        delete from profiles.passkeys where user_id = $1::uuid returning 1
    ), factors as (
        delete from profiles.second_factors where user_id = $1::uuid returning 1
    ), settings as (
        delete from profiles.two_factor_settings where user_id = $1::uuid
    )
    select exists (select from password) as password, (select count(*)::int from logins) as logins,
           (select count(*)::int from passkeys) as passkeys, (select count(*)::int from factors) as factors
    """,
)

DELETED_BEFORE = Query(
    str,
    """
    select id::text from profiles.users where deleted_at < $1 order by deleted_at, id limit $2
    """,
)


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
