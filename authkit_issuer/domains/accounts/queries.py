"""The rows and the SQL of users, user names and roles."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.base.contacts import CONTACT_KINDS, EMAIL, PHONE, ContactKind
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
# A second factor by email sends its codes to the account's address; one by SMS has a number of its own.
REPLACE_CONTACT = {
    kind: Query(
        bool,
        f"""
        with factor as (
            select exists (
                select from profiles.second_factors f
                where f.user_id = $1::uuid and f.kind = 'email' and {kind is EMAIL}
            ) as moves
        )
        update profiles.users u
        set {kind.column} = $2, {kind.verified_column} = $3,
            proved_{kind.name} = case when $3 then $2 end,
            email_frozen_at = case when {kind is PHONE} then u.email_frozen_at end,
            auth_epoch = u.auth_epoch + factor.moves::int, updated_at = now()
        from factor where u.id = $1::uuid returning factor.moves
        """,
    )
    for kind in CONTACT_KINDS
}
# As proved: the holder of the other contact must not prove that one first, and take the account.
VOUCH = {
    kind: Statement(
        f"""
        update profiles.users set {kind.verified_column} = true, proved_{kind.name} = {kind.column}
        where id = $1::uuid
        """
    )
    for kind in CONTACT_KINDS
}
MARK_PROVED = {
    kind: Query(
        bool,
        f"""
        with before as (
            select u.proved_{kind.name} is distinct from u.{kind.column} as first
            from profiles.users u where u.id = $1::uuid
        )
        update profiles.users u
        set {kind.verified_column} = true, proved_{kind.name} = u.{kind.column},
            email_frozen_at = case when {kind is PHONE} then u.email_frozen_at end, updated_at = now()
        from before where u.id = $1::uuid returning before.first
        """,
    )
    for kind in CONTACT_KINDS
}
NOTE_PROVED = {
    kind: Statement(
        f"""
        update profiles.users set proved_{kind.name} = {kind.column}
        where id = $1::uuid and {kind.column} = $2 and {kind.verified_column}
          and proved_{kind.name} is distinct from {kind.column}
        """
    )
    for kind in CONTACT_KINDS
}
"""Writes nothing unless the contact is this one, verified, and not proved yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """How many logins and passkeys were frozen, and whether the second factor and the other contact were."""

    logins: int
    passkeys: int
    factor: bool
    contact: bool


def _freeze(kind: ContactKind) -> Query[Frozen]:
    """Return the statement for a first proof by this kind of contact; the other one needs a proof again."""
    other = PHONE if kind is EMAIL else EMAIL
    return Query(
        Frozen,
        f"""
    with logins as (
        update profiles.user_providers set frozen_at = now()
        where user_id = $1::uuid and frozen_at is null returning 1
    ), passkeys as (
        update profiles.passkeys set frozen_at = now()
        where user_id = $1::uuid and frozen_at is null returning 1
    ), factor as (
        update profiles.two_factor_settings set frozen_at = now()
        where user_id = $1::uuid and enabled and frozen_at is null returning 1
    ), before as (
        -- An address counts even if unverified: without verification_required it resets the password.
        select {other.verified_column}
               or ({other is EMAIL} and email is not null and email_frozen_at is null) as open
        from profiles.users where id = $1::uuid
    ), moved as (
        update profiles.users
        set auth_epoch = auth_epoch + 1, {other.verified_column} = false, proved_{other.name} = null,
            email_frozen_at = case when {other is EMAIL} and email is not null then now() end
        where id = $1::uuid
          and (exists (select from logins) or exists (select from passkeys)
               or exists (select from factor) or (select open from before))
    )
    select (select count(*)::int from logins) as logins,
           (select count(*)::int from passkeys) as passkeys, exists (select from factor) as factor,
           (select open from before) as contact
        """,
    )


FREEZE = {kind: _freeze(kind) for kind in CONTACT_KINDS}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHolder:
    """The user who holds a name, with the current one."""

    user_id: str
    username: str


# A name is held once in a database, whether it is current or former: there is nothing to prefer.
NAME_HOLDER = Query(
    NameHolder,
    """
    select u.id::text as user_id, u.username
    from profiles.names n join profiles.users u on u.id = n.user_id
    where n.slug = $1 and u.deleted_at is null
    """,
)
FORMER_NAMES = Query(
    str, "select slug from profiles.names where user_id = $1::uuid and not is_current order by slug"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role as the catalogue has it."""

    id: str
    slug: str
    name: str
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGrant:
    """What an assignment found and did."""

    role_known: bool
    user_known: bool
    granted: bool


# Defining again renames, and brings a retired role back: the slug is the identity, the id follows from it.
DEFINE_ROLE = Query(
    Role,
    """
    insert into profiles.roles (id, slug, name, description) values ($1::uuid, $2, $3, $4)
    on conflict (slug) do update
        set name = excluded.name, description = excluded.description, deleted_at = null, updated_at = now()
    returning id::text, slug, name, description
    """,
)
DEFINED_ROLES = Query(
    Role,
    "select id::text, slug, name, description from profiles.roles where deleted_at is null order by slug",
)
GRANT_ROLE = Query(
    RoleGrant,
    """
    with role as (
        select id from profiles.roles where slug = $2 and deleted_at is null
    ), person as (
        select id from profiles.users where id = $1::uuid for key share
    ), granted as (
        insert into profiles.user_roles (user_id, role_id)
        select person.id, role.id from person cross join role
        on conflict do nothing returning 1
    )
    select exists (select from role) as role_known, exists (select from person) as user_known,
           exists (select from granted) as granted
    """,
)
LOCK_ROLE = Query(str, "select id::text from profiles.roles where slug = $1 for update")
HOLD_ROLE = Query(str, "select id::text from profiles.roles where slug = $1 for key share")
WITHDRAW_ROLE = Query(
    str,
    "delete from profiles.user_roles where user_id = $1::uuid and role_id = $2::uuid returning user_id::text",
)
_ACTING_HOLDER = f"""
    select from profiles.user_roles ur join profiles.users u on u.id = ur.user_id
    where ur.role_id = $1::uuid and {ALLOWED}
"""
OTHER_ROLE_HOLDERS = Query(bool, f"select exists ({_ACTING_HOLDER} and u.id <> $2::uuid)")
HOLDS_ROLE = Query(bool, f"select exists ({_ACTING_HOLDER} and u.id = $2::uuid)")
ROLES_OF_USER = Query(
    str,
    """
    select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
    where ur.user_id = $1::uuid and r.deleted_at is null order by r.slug
    """,
)
# Only a user who has given up a name before is cooling down: the first name is not a change.
NAME_COOLING = Query(
    float,
    """
    select extract(epoch from
               max(created_at) filter (where is_current) + $2::float8 * interval '1 second' - now())::float8
    from profiles.names where user_id = $1::uuid having bool_or(not is_current)
    """,
)
