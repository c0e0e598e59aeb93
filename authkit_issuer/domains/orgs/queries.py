"""The rows and the SQL of organizations, memberships and invites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.base.namespace import OrgName
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


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


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgInvite:
    """One invite; times are aware, in UTC.

    ``user_id`` is None while an invite for an address is open. ``role`` is what acceptance gives beside the
    role ``member``.
    """

    id: str
    org: str
    user_id: str | None
    email: str | None
    role: str | None
    invited_by: str | None
    status: str
    expires_at: datetime | None
    acted_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitee:
    """The address of an invitation email, the name of its account, and the name of the inviter, or ``""``."""

    email: str
    username: str
    inviter: str


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
# No row if the policy is so already.
REQUIRE_TWO_FACTOR = Statement(
    "update profiles.orgs set two_factor_required = $2 where id = $1::uuid and two_factor_required <> $2"
)
REQUIRES_TWO_FACTOR = Query(bool, "select two_factor_required from profiles.orgs where id = $1::uuid")
IS_MEMBER = Query(
    bool,
    "select exists (select from profiles.org_members where org_id = $1::uuid and user_id = $2::uuid)",
)
_ACTING_OWNER = f"""
    select from profiles.org_member_roles r join profiles.users u on u.id = r.user_id
    where r.role = 'owner' and {ALLOWED}
"""
OTHER_OWNERS = Query(
    bool, f"select exists ({_ACTING_OWNER} and r.org_id = $1::uuid and r.user_id <> $2::uuid)"
)
IS_OWNER = Query(bool, f"select exists ({_ACTING_OWNER} and r.org_id = $1::uuid and r.user_id = $2::uuid)")
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
ROLE_DEFINED = Query(
    bool, "select exists (select from profiles.org_roles where org_id = $1::uuid and role = $2)"
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

# A lapsed invite reads as expired before anybody has written that down.
_INVITE_STATUS = "case when i.status = 'pending' and i.expires_at <= now() then 'expired' else i.status end"
_INVITE_COLUMNS = f"""
    i.id::text, o.slug as org, i.user_id::text, i.email, i.role, i.invited_by::text,
    {_INVITE_STATUS} as status, i.expires_at, i.acted_at, i.created_at
"""
# The page after an invite, which is named by its id.
_AFTER_INVITE = """
    ($3::uuid is null or exists (
        select from profiles.org_invites b where b.id = $3::uuid
          and (i.created_at < b.created_at or i.created_at = b.created_at and i.id > b.id)
    ))
"""
_INVITE_FROM = "from profiles.org_invites i join profiles.orgs o on o.id = i.org_id"
EXPIRE_INVITES = Statement(
    """
    update profiles.org_invites set status = 'expired', updated_at = now()
    where org_id = $1::uuid and status = 'pending' and expires_at <= now()
    """
)
EXPIRE_INVITE = Statement(
    """
    update profiles.org_invites set status = 'expired', updated_at = now()
    where id = $1::uuid and status = 'pending' and expires_at <= now()
    """
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
CREATE_INVITE = Query(
    str,
    """
    insert into profiles.org_invites (org_id, user_id, email, invited_by, expires_at, by_owner, role)
    values ($1::uuid, $2::uuid, $3, $4::uuid, $5, exists (
        select from profiles.org_member_roles r
        where r.org_id = $1::uuid and r.user_id = $4::uuid and r.role = 'owner'
    ), $6) on conflict do nothing returning id::text
    """,
)
INVITE_BY_ID = Query(
    OrgInvite, f"select {_INVITE_COLUMNS} {_INVITE_FROM} where i.id = $1::uuid and o.deleted_at is null"
)
INVITES_OF_ORG = Query(
    OrgInvite,
    f"""
    select {_INVITE_COLUMNS} {_INVITE_FROM} where i.org_id = $1::uuid and ($2 = '' or {_INVITE_STATUS} = $2)
      and {_AFTER_INVITE}
    order by i.created_at desc, i.id limit $4
    """,
)
INVITES_OF_USER = Query(
    OrgInvite,
    f"""
    select {_INVITE_COLUMNS} {_INVITE_FROM}
    where o.deleted_at is null and ($2 = '' or {_INVITE_STATUS} = $2) and (
        i.user_id = $1::uuid
        or i.user_id is null and i.email = (
            select u.email from profiles.users u where u.id = $1::uuid and u.email_verified
        )
    ) and {_AFTER_INVITE}
    order by i.created_at desc, i.id limit $4
    """,
)
# Where an invitation email goes: a verified address alone.
INVITEE = Query(
    Invitee,
    """
    select coalesce($1, u.email) as email, coalesce(u.username, '') as username, coalesce((
        select b.username from profiles.users b where b.id = $3::uuid
    ), '') as inviter
    from (select) one left join profiles.users u on u.email_verified and u.deleted_at is null
      and (u.id = $2::uuid or lower(u.email) = $1)
    where coalesce($1, u.email) is not null
    """,
)
ANSWER_INVITE = Query(
    str,
    """
    update profiles.org_invites i
    set status = $3, user_id = $2::uuid, acted_at = now(), updated_at = now()
    where i.id = $1::uuid and i.status = 'pending' and (i.expires_at is null or i.expires_at > now())
      and (i.user_id = $2::uuid or i.user_id is null and i.email = (
          select u.email from profiles.users u where u.id = $2::uuid and u.email_verified
      ))
    returning i.org_id::text
    """,
)
REVOKE_INVITE = Query(
    str,
    """
    update profiles.org_invites set status = 'revoked', acted_at = now(), updated_at = now()
    where id = $1::uuid and org_id = $2::uuid and status = 'pending'
      and (expires_at is null or expires_at > now())
    returning id::text
    """,
)
INVITEE_ALLOWED = Query(bool, f"select {ALLOWED} from profiles.users u where u.id = $1::uuid")
IN_FUTURE = Query(bool, "select $1::timestamptz > now()")
# A shared lock that changes of the row itself pass: who invites and who is invited stay until it is written.
HOLD_USER = Query(str, "select id::text from profiles.users where id = $1::uuid for key share")
EMAIL_OF_USER = Query(str, "select email from profiles.users where id = $1::uuid and email_verified")
# Read under the organization's row lock: an owner who lost the role meanwhile or may not act lets no user in.
INVITER_ALLOWED = Query(
    bool,
    f"""
    select not i.by_owner or exists ({_ACTING_OWNER} and r.org_id = i.org_id and r.user_id = i.invited_by)
    from profiles.org_invites i where i.id = $1::uuid
    """,
)
