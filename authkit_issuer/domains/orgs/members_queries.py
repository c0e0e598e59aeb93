"""The rows and the SQL of members."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.orgs.queries import ACTING_OWNER
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgMembership:
    """One organization of a user: current slug, id, and the roles held there, sorted."""

    org: str
    org_id: str
    roles: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What an organization and one of its members have, before a role of the member changes."""

    is_member: bool
    role_defined: bool
    holds: bool
    held: int


# A deleted organization keeps its names until the purge, and its owners' place: otherwise one account could
# found and delete without end, and take any number of names.
COUNT_MEMBERSHIPS = Query(
    int,
    """
    select count(distinct m.org_id)::int from profiles.org_members m join profiles.orgs o on o.id = m.org_id
    left join profiles.org_member_roles r on r.org_id = m.org_id and r.user_id = $1::uuid and r.role = 'owner'
    where m.user_id = $1::uuid and m.org_id <> $2::uuid and (o.deleted_at is null or r.role is not null)
    """,
)

ADD_MEMBER = Query(
    str,
    """
    insert into profiles.org_members (org_id, user_id) values ($1::uuid, $2::uuid)
    on conflict do nothing returning user_id::text
    """,
)

REMOVE_MEMBER = Query(
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

OTHER_OWNERS = Query(
    bool, f"select exists ({ACTING_OWNER} and r.org_id = $1::uuid and r.user_id <> $2::uuid)"
)

IS_OWNER = Query(bool, f"select exists ({ACTING_OWNER} and r.org_id = $1::uuid and r.user_id = $2::uuid)")

MEMBERSHIP = Query(
    Membership,
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

ASSIGN_ROLE = Query(
    str,
    """
    insert into profiles.org_member_roles (org_id, user_id, role)
    select $1::uuid, $2::uuid, role from profiles.org_roles
    where org_id = $1::uuid and role = any($3::text[]) on conflict do nothing returning role
    """,
)

UNASSIGN_ROLE = Query(
    str,
    """
    delete from profiles.org_member_roles
    where org_id = $1::uuid and user_id = $2::uuid and role = $3 returning role
    """,
)

MEMBERS = Query(
    str,
    """
    select user_id::text from profiles.org_members
    where org_id = $1::uuid and ($2::uuid is null or user_id > $2::uuid) order by user_id limit $3
    """,
)

MEMBER_ROLES = Query(
    str,
    "select role from profiles.org_member_roles where org_id = $1::uuid and user_id = $2::uuid order by role",
)

ORGS_OF_USER = Query(
    OrgMembership,
    """
    select o.slug as org, o.id::text as org_id, array(
        select r.role from profiles.org_member_roles r
        where r.org_id = o.id and r.user_id = m.user_id order by r.role
    ) as roles
    from profiles.org_members m join profiles.orgs o on o.id = m.org_id
    where m.user_id = $1::uuid and o.deleted_at is null order by o.slug
    """,
)

# Open invites of a former owner: they let no user in, and would keep others from inviting.
REVOKE_ORPHANED = Query(
    str,
    """
    update profiles.org_invites i set status = 'revoked', acted_at = now(), updated_at = now()
    where i.org_id = $1::uuid and i.status = 'pending' and (i.expires_at is null or i.expires_at > now())
      and i.by_owner and not exists (
        select from profiles.org_member_roles r
        where r.org_id = i.org_id and r.user_id = i.invited_by and r.role = 'owner'
    ) returning i.id::text
    """,
)
