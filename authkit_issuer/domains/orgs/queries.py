"""The rows and the SQL of organizations, memberships and invites."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.base.namespace import OrgName
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedUser:
    """A user without a personal organization yet."""

    id: str
    username: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgedOrg:
    """A deleted organization whose retention has ended."""

    id: str
    slug: str


_ORG_COLUMNS = "id::text, slug, is_personal, owner_user_id::text"
CREATE_ORG = Query(
    OrgName,
    f"""
    insert into profiles.orgs (slug, is_personal, owner_user_id)
    values ($1, $2::uuid is not null, $2::uuid) returning {_ORG_COLUMNS}
    """,
)
ORG_BY_ID = Query(
    OrgName, f"select {_ORG_COLUMNS} from profiles.orgs where id = $1::uuid and deleted_at is null"
)
PERSONAL_ORG = Query(
    OrgName,
    f"""
    select {_ORG_COLUMNS} from profiles.orgs
    where owner_user_id = $1::uuid and is_personal and deleted_at is null
    """,
)
# Open invites end with it: they would let users into what a restored backup or a later version brings back.
DELETE_ORG = Query(
    int,
    """
    with ended as (
        update profiles.org_invites set status = 'revoked', acted_at = now(), updated_at = now()
        where org_id = $1::uuid and status = 'pending' returning id
    ), deleted as (
        update profiles.orgs set deleted_at = now(), updated_at = now() where id = $1::uuid
    )
    select count(*)::int from ended
    """,
)
# In id order, and past rows another purge holds.
PURGE_ORGS = Query(
    PurgedOrg,
    """
    delete from profiles.orgs where id in (
        select id from profiles.orgs where deleted_at < now() - $1::float8 * interval '1 second'
        order by deleted_at, id limit $2 for update skip locked
    ) returning id::text, slug
    """,
)
SET_SLUG = Statement("update profiles.orgs set slug = $2, updated_at = now() where id = $1::uuid")
ALIASES = Query(
    str,
    """
    select n.slug from profiles.orgs o
    join profiles.names n on n.org_id = o.id or (o.is_personal and n.user_id = o.owner_user_id)
    where o.id = $1::uuid and o.deleted_at is null and n.slug <> o.slug and n.slug !~ '_'
      and not (o.is_personal and n.is_current)
    order by n.slug
    """,
)
DEFINE_ROLE = Query(
    str,
    """
    insert into profiles.org_roles (org_id, role) values ($1::uuid, $2)
    on conflict do nothing returning role
    """,
)
ROLE_CASELESS = Query(
    str, "select role from profiles.org_roles where org_id = $1::uuid and lower(role) = lower($2)"
)
COUNT_ROLES = Query(int, "select count(*)::int from profiles.org_roles where org_id = $1::uuid")
# The holders lose the role by the foreign key; they are counted as they were before.
DELETE_ROLE = Query(
    int,
    """
    delete from profiles.org_roles where org_id = $1::uuid and role = $2
    returning (
        select count(*)::int from profiles.org_member_roles where org_id = $1::uuid and role = $2
    )
    """,
)
DEFINED_ROLES = Query(str, "select role from profiles.org_roles where org_id = $1::uuid order by role")
# Two rows say it: organizations of one member each are what single mode knows.
SHARED_ORGS = Query(
    str,
    """
    select o.id::text from profiles.orgs o join profiles.org_members m on m.org_id = o.id
    where o.deleted_at is null group by o.id having count(*) > 1 limit 2
    """,
)
WITHOUT_PERSONAL = Query(
    NamedUser,
    """
    select u.id::text, u.username from profiles.users u
    where u.username is not null and u.id > $1::uuid and not exists (
        select from profiles.orgs o where o.owner_user_id = u.id and o.is_personal and o.deleted_at is null
    )
    order by u.id limit $2
    """,
)

LOCK_ORG = Query(
    str, "select id::text from profiles.orgs where id = $1::uuid and deleted_at is null for update"
)
# No row if the policy is so already.
REQUIRE_TWO_FACTOR = Statement(
    "update profiles.orgs set two_factor_required = $2 where id = $1::uuid and two_factor_required <> $2"
)
REQUIRES_TWO_FACTOR = Query(bool, "select two_factor_required from profiles.orgs where id = $1::uuid")
IS_MEMBER = Query(
    bool,
    "select exists (select from profiles.org_members where org_id = $1::uuid and user_id = $2::uuid)",
)
ACTING_OWNER = f"""
    select from profiles.org_member_roles r join profiles.users u on u.id = r.user_id
    where r.role = 'owner' and {ALLOWED}
"""
