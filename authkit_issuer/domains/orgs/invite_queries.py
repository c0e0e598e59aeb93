"""The row and the SQL of invites."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgInvite:
    """One invite. ``user_id`` is None while the invited address has no account; times are aware, in UTC."""

    id: str
    org: str
    user_id: str | None
    email: str | None
    invited_by: str | None
    status: str
    expires_at: datetime | None
    acted_at: datetime | None
    created_at: datetime


# A lapsed invite reads as expired before anybody has written that down.
_STATUS = "case when i.status = 'pending' and i.expires_at <= now() then 'expired' else i.status end"
_COLUMNS = f"""
    i.id::text, o.slug as org, i.user_id::text, i.email, i.invited_by::text, {_STATUS} as status,
    i.expires_at, i.acted_at, i.created_at
"""
_FROM = "from profiles.org_invites i join profiles.orgs o on o.id = i.org_id"
EXPIRE = Statement(
    """
    update profiles.org_invites set status = 'expired', updated_at = now()
    where org_id = $1::uuid and status = 'pending' and expires_at <= now()
    """
)
EXPIRE_ONE = Statement(
    """
    update profiles.org_invites set status = 'expired', updated_at = now()
    where id = $1::uuid and status = 'pending' and expires_at <= now()
    """
)
# What an owner who is none any more has left open: it lets nobody in, and would keep others from inviting.
REVOKE_ORPHANED = Query(
    str,
    """
    update profiles.org_invites i set status = 'revoked', acted_at = now(), updated_at = now()
    where i.org_id = $1::uuid and i.status = 'pending' and i.by_owner and not exists (
        select from profiles.org_member_roles r
        where r.org_id = i.org_id and r.user_id = i.invited_by and r.role = 'owner'
    )
    returning i.id::text
    """,
)
# An invite for the address that the user has proved is one for the user.
HAS_OPEN = Query(
    bool,
    """
    select exists (
        select from profiles.org_invites i
        where i.org_id = $1::uuid and i.status = 'pending' and i.user_id is null and i.email = (
            select u.email from profiles.users u where u.id = $2::uuid and u.email_verified
        )
    )
    """,
)
CREATE = Query(
    str,
    """
    insert into profiles.org_invites (org_id, user_id, email, invited_by, expires_at, by_owner)
    values ($1::uuid, $2::uuid, $3, $4::uuid, $5, exists (
        select from profiles.org_member_roles r
        where r.org_id = $1::uuid and r.user_id = $4::uuid and r.role = 'owner'
    )) on conflict do nothing returning id::text
    """,
)
BY_ID = Query(OrgInvite, f"select {_COLUMNS} {_FROM} where i.id = $1::uuid and o.deleted_at is null")
OF_ORG = Query(
    OrgInvite,
    f"""
    select {_COLUMNS} {_FROM} where i.org_id = $1::uuid and ($2 = '' or {_STATUS} = $2)
    order by i.created_at desc, i.id
    """,
)
OF_USER = Query(
    OrgInvite,
    f"""
    select {_COLUMNS} {_FROM}
    where o.deleted_at is null and ($2 = '' or {_STATUS} = $2) and (
        i.user_id = $1::uuid
        or i.user_id is null and i.email = (
            select u.email from profiles.users u where u.id = $1::uuid and u.email_verified
        )
    )
    order by i.created_at desc, i.id
    """,
)
ANSWER = Query(
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
REVOKE = Query(
    str,
    """
    update profiles.org_invites set status = 'revoked', acted_at = now(), updated_at = now()
    where id = $1::uuid and org_id = $2::uuid and status = 'pending'
      and (expires_at is null or expires_at > now())
    returning id::text
    """,
)
INVITEE = Query(
    bool,
    f"select {ALLOWED} from profiles.users u where u.id = $1::uuid",
)
LIES_AHEAD = Query(bool, "select $1::timestamptz > now()")
# A shared lock that changes of the row itself pass: who invites and who is invited stay until it is written.
HOLD = Query(str, "select id::text from profiles.users where id = $1::uuid for key share")
ACCOUNT_OF = Query(
    str,
    "select id::text from profiles.users where lower(email) = $1 and email_verified and deleted_at is null",
)
ADDRESS_OF = Query(str, "select email from profiles.users where id = $1::uuid and email_verified")
# Read under the organization's row lock: an owner who lost the role meanwhile or may not act lets nobody in.
INVITER_STANDS = Query(
    bool,
    f"""
    select not i.by_owner or exists (
        select from profiles.org_member_roles r join profiles.users u on u.id = r.user_id
        where r.org_id = i.org_id and r.user_id = i.invited_by and r.role = 'owner'
          and {ALLOWED}
    )
    from profiles.org_invites i where i.id = $1::uuid
    """,
)
