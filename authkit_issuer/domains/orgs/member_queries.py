"""The rows and the SQL of memberships."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgMembership:
    """One organization of a user, with the roles held there, sorted."""

    org: str
    roles: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a change of one member's roles depends on."""

    is_member: bool
    role_defined: bool
    holds: bool
    held: int


LOCK_ORG = Query(
    str, "select id::text from profiles.orgs where id = $1::uuid and deleted_at is null for update"
)
MEMBERSHIPS = Query(
    int,
    """
    select count(*)::int from profiles.org_members m join profiles.orgs o on o.id = m.org_id
    where m.user_id = $1::uuid and m.org_id <> $2::uuid and o.deleted_at is null
    """,
)
ADD = Query(
    str,
    """
    insert into profiles.org_members (org_id, user_id) values ($1::uuid, $2::uuid)
    on conflict do nothing returning user_id::text
    """,
)
REMOVE = Query(
    str,
    "delete from profiles.org_members where org_id = $1::uuid and user_id = $2::uuid returning user_id::text",
)
# An invite that was open all along, or came by another way, would let who was removed straight back in.
END_INVITES = Query(
    str,
    """
    update profiles.org_invites i set status = 'revoked', acted_at = now(), updated_at = now()
    where i.org_id = $1::uuid and i.status = 'pending' and (i.expires_at is null or i.expires_at > now())
      and (i.user_id = $2::uuid or i.user_id is null and i.email = (
          select u.email from profiles.users u where u.id = $2::uuid and u.email_verified
      ))
    returning i.id::text
    """,
)
IS_MEMBER = Query(
    bool,
    "select exists (select from profiles.org_members where org_id = $1::uuid and user_id = $2::uuid)",
)
OTHER_OWNERS = Query(
    bool,
    f"""
    select exists (
        select from profiles.org_member_roles r join profiles.users u on u.id = r.user_id
        where r.org_id = $1::uuid and r.role = 'owner' and r.user_id <> $2::uuid and {ALLOWED}
    )
    """,
)
STANDING = Query(
    Standing,
    """
    select exists (select from profiles.org_members
                   where org_id = $1::uuid and user_id = $2::uuid) as is_member,
           exists (select from profiles.org_roles where org_id = $1::uuid and role = $3) as role_defined,
           exists (select from profiles.org_member_roles
                   where org_id = $1::uuid and user_id = $2::uuid and role = $3) as holds,
           (select count(*)::int from profiles.org_member_roles
            where org_id = $1::uuid and user_id = $2::uuid) as held
    """,
)
ASSIGN = Query(
    str,
    """
    insert into profiles.org_member_roles (org_id, user_id, role)
    select $1::uuid, $2::uuid, role from profiles.org_roles
    where org_id = $1::uuid and role = any($3::text[]) on conflict do nothing returning role
    """,
)
UNASSIGN = Query(
    str,
    """
    delete from profiles.org_member_roles
    where org_id = $1::uuid and user_id = $2::uuid and role = $3 returning role
    """,
)
MEMBERS = Query(
    str, "select user_id::text from profiles.org_members where org_id = $1::uuid order by user_id"
)
ROLES = Query(
    str,
    "select role from profiles.org_member_roles where org_id = $1::uuid and user_id = $2::uuid order by role",
)
OF_USER = Query(
    OrgMembership,
    """
    select o.slug as org, array(
        select r.role from profiles.org_member_roles r
        where r.org_id = o.id and r.user_id = m.user_id order by r.role
    ) as roles
    from profiles.org_members m join profiles.orgs o on o.id = m.org_id
    where m.user_id = $1::uuid and o.deleted_at is null order by o.slug
    """,
)
