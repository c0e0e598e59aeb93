"""The rows and the SQL of invites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.orgs.queries import ACTING_OWNER
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


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


ROLE_DEFINED = Query(
    bool, "select exists (select from profiles.org_roles where org_id = $1::uuid and role = $2)"
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
    select not i.by_owner or exists ({ACTING_OWNER} and r.org_id = i.org_id and r.user_id = i.invited_by)
    from profiles.org_invites i where i.id = $1::uuid
    """,
)
