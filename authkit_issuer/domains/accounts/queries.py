"""The rows and the SQL of users, and the locks of roles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account. Times are aware, in UTC; email, phone number and user name may each be None."""

    id: str
    email: str | None
    phone_number: str | None
    username: str | None
    discord_username: str | None
    email_verified: bool
    phone_verified: bool
    banned_at: datetime | None
    banned_until: datetime | None
    ban_reason: str | None
    banned_by: str | None
    deleted_at: datetime | None
    biography: str | None
    created_at: datetime
    updated_at: datetime
    last_login: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a user has under the lock of its row, before it is changed."""

    email: str | None
    email_verified: bool
    username: str | None
    biography: str | None
    auth_epoch: int


_COLUMNS = """
    id::text, email, phone_number, username, discord_username, email_verified, phone_verified,
    banned_at, banned_until, ban_reason, banned_by::text, deleted_at, biography,
    created_at, updated_at, last_login
"""
_SELECT = f"select {_COLUMNS} from profiles.users "
BY_ID = Query(User, _SELECT + "where id = $1::uuid")
BY_EMAIL = Query(User, _SELECT + "where lower(email) = $1")
BY_PHONE = Query(User, _SELECT + "where phone_number = $1")
BY_USERNAME = Query(User, _SELECT + "where lower(username) = lower($1)")
NEWEST = Query(User, _SELECT + "where deleted_at is null order by created_at desc, id limit $1")
LAST_DELETED = Query(User, _SELECT + "where deleted_at is not null order by deleted_at desc, id limit $1")
CREATE = Query(
    User,
    f"""
    insert into profiles.users
        (id, email, phone_number, username, email_verified, phone_verified, proved_email, proved_phone,
         created_at)
    values (
        coalesce($1::uuid, gen_random_uuid()), $2, $3, $4, $5, $6,
        case when $5 then $2 end, case when $6 then $3 end, coalesce($7::timestamptz, now())
    )
    returning {_COLUMNS}
    """,
)
IS_ALLOWED = Query(
    bool,
    f"select {ALLOWED} from profiles.users u where u.id = $1::uuid",
)
HOLD = Query(
    Held,
    """
    select email, email_verified, username, biography, auth_epoch from profiles.users where id = $1::uuid
    for no key update
    """,
)
RENAME = Statement("update profiles.users set username = $2, updated_at = now() where id = $1::uuid")
SET_EMAIL_VERIFIED = Statement(
    """
    update profiles.users
    set email_verified = $2, proved_email = case when $2 then proved_email end,
        email_frozen_at = case when not $2 then email_frozen_at end, updated_at = now()
    where id = $1::uuid
    """
)
SET_BIOGRAPHY = Statement("update profiles.users set biography = $2, updated_at = now() where id = $1::uuid")

# One statement, so that everything is of one moment. Leaves out what proves the user, hashes and codes, and
# what operators write for operators; the events are cut to what the user may see by the caller.
EXPORT = Query(
    str,
    """
    select jsonb_build_object(
        'user', to_jsonb(u) - 'auth_epoch' - 'ban_reason' - 'banned_by',
        'names', (
            select coalesce(jsonb_agg(to_jsonb(n) - 'user_id' - 'org_id' order by n.slug), '[]')
            from profiles.names n where n.user_id = u.id
        ),
        'password', (
            select jsonb_build_object('updated_at', p.password_updated_at)
            from profiles.user_passwords p where p.user_id = u.id
        ),
        'two_factor', (
            select to_jsonb(t) - 'user_id' - 'backup_codes' || jsonb_build_object('factors', (
                select coalesce(jsonb_agg(jsonb_build_object(
                    'id', f.id, 'kind', f.kind, 'name', f.name, 'phone_number', f.phone_number,
                    'default', f.is_default, 'created_at', f.created_at, 'last_used_at', f.last_used_at
                ) order by f.created_at, f.id), '[]')
                from profiles.second_factors f where f.user_id = u.id
            ))
            from profiles.two_factor_settings t where t.user_id = u.id
        ),
        'recovery', (
            select jsonb_build_object(
                'started_at', r.started_at, 'method', r.method, 'completes_at', r.completes_at,
                'expires_at', r.expires_at, 'cancelled_at', r.cancelled_at
            ) from profiles.recovery_requests r where r.user_id = u.id
        ),
        'remembered_devices', (
            select coalesce(
                jsonb_agg(to_jsonb(d) - 'user_id' - 'auth_epoch' order by d.created_at, d.id), '[]'
            )
            from profiles.remembered_devices d where d.user_id = u.id
        ),
        'providers', (
            select coalesce(jsonb_agg(to_jsonb(l) - 'user_id' order by l.created_at, l.id), '[]')
            from profiles.user_providers l where l.user_id = u.id
        ),
        'passkeys', (
            select coalesce(jsonb_agg(
                to_jsonb(k) - 'user_id' - 'credential_id' - 'public_key'
                || jsonb_build_object('last_used_ip', host(k.last_used_ip)) order by k.created_at, k.id
            ), '[]')
            from profiles.passkeys k where k.user_id = u.id
        ),
        'roles', (
            select coalesce(jsonb_agg(r.slug order by r.slug), '[]')
            from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id where ur.user_id = u.id
        ),
        'organizations', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'slug', o.slug, 'personal', o.is_personal, 'since', m.created_at, 'roles', array(
                    select mr.role from profiles.org_member_roles mr
                    where mr.org_id = m.org_id and mr.user_id = m.user_id order by mr.role
                )
            ) order by o.slug), '[]')
            from profiles.org_members m join profiles.orgs o on o.id = m.org_id where m.user_id = u.id
        ),
        'invitations', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'organization', o.slug, 'status', i.status, 'created_at', i.created_at
            ) order by i.created_at, i.id), '[]')
            from profiles.org_invites i join profiles.orgs o on o.id = i.org_id where i.user_id = u.id
        ),
        'sessions', (
            select coalesce(jsonb_agg(jsonb_build_object(
                'id', s.id, 'created_at', s.created_at, 'last_used_at', s.last_used_at,
                'expires_at', s.expires_at, 'revoked_at', s.revoked_at, 'revoke_reason', s.revoke_reason,
                'method', s.auth_method, 'ip', host(s.ip_addr), 'user_agent', s.user_agent
            ) order by s.created_at, s.id), '[]')
            from (
                select * from profiles.refresh_sessions where user_id = u.id
                order by created_at desc, id desc limit $4
            ) s
        ),
        'events', (
            select coalesce(jsonb_agg(
                to_jsonb(e) || jsonb_build_object('ip_addr', host(e.ip_addr)) order by e.occurred_at, e.id
            ), '[]')
            from (
                select * from profiles.session_events
                where user_id = u.id::text and (occurred_at, id) < ($2, $3::bigint)
                order by occurred_at desc, id desc limit $4
            ) e
        )
    )::text
    from profiles.users u where u.id = $1::uuid
    """,
)
LOCK_ROLE = Query(str, "select id::text from profiles.roles where slug = $1 for update")
ACTING_HOLDER = f"""
    select from profiles.user_roles ur join profiles.users u on u.id = ur.user_id
    where ur.role_id = $1::uuid and {ALLOWED}
"""
OTHER_ROLE_HOLDERS = Query(bool, f"select exists ({ACTING_HOLDER} and u.id <> $2::uuid)")
