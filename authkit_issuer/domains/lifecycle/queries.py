"""The SQL of bans, soft deletions and restorations."""

from __future__ import annotations

from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement

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

DELETED_BEFORE = Query(
    str,
    """
    select id::text from profiles.users where deleted_at < $1 order by deleted_at, id limit $2
    """,
)
