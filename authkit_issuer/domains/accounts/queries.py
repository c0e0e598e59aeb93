"""The row and the SQL of users."""

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
    insert into profiles.users (id, email, phone_number, username, email_verified, phone_verified)
    values (coalesce($1::uuid, gen_random_uuid()), $2, $3, $4, $5, $6)
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
SET_EMAIL = Statement(
    """
    update profiles.users set email = $2, email_verified = false, updated_at = now() where id = $1::uuid
    """
)
SET_EMAIL_VERIFIED = Statement(
    "update profiles.users set email_verified = $2, updated_at = now() where id = $1::uuid"
)
SET_BIOGRAPHY = Statement("update profiles.users set biography = $2, updated_at = now() where id = $1::uuid")

# One statement, so that everything is of one moment. Leaves out what proves the user: hashes and codes.
EXPORT = Query(
    str,
    """
    select jsonb_build_object(
        'user', to_jsonb(u) - 'auth_epoch',
        'names', (
            select coalesce(jsonb_agg(to_jsonb(n) - 'user_id' - 'org_id' order by n.slug), '[]')
            from profiles.names n where n.user_id = u.id
        ),
        'password', (
            select jsonb_build_object('updated_at', p.password_updated_at)
            from profiles.user_passwords p where p.user_id = u.id
        ),
        'two_factor', (
            select to_jsonb(t) - 'user_id' - 'backup_codes'
            from profiles.two_factor_settings t where t.user_id = u.id
        ),
        'providers', (
            select coalesce(jsonb_agg(to_jsonb(l) - 'user_id' order by l.created_at, l.id), '[]')
            from profiles.user_providers l where l.user_id = u.id
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
            from profiles.refresh_sessions s where s.user_id = u.id
        ),
        'events', (
            select coalesce(jsonb_agg(
                to_jsonb(e) || jsonb_build_object('ip_addr', host(e.ip_addr)) order by e.occurred_at, e.id
            ), '[]')
            from profiles.session_events e where e.user_id = u.id::text
        )
    )::text
    from profiles.users u where u.id = $1::uuid
    """,
)
