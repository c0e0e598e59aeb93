"""The rows and the SQL of refresh sessions.

A statement that ends a session also writes its ``session_revoked`` event and that event's outbox rows:
neither is ever stored without the other. ``store.predicates`` says which sessions are live, and which have
been idle too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.store.event_reading import TO_WEBHOOKS
from authkit_issuer.store.predicates import (
    ALLOWED,
    HAS_TWO_FACTOR,
    OWNS_PASSKEY,
    live,
    not_idle,
)
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as its user may see it. Times are aware, in UTC."""

    id: str
    family_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user of a live session, as ``/auth/user/me`` shows it."""

    id: str
    email: str | None
    phone_number: str | None
    username: str | None
    discord_username: str | None
    email_verified: bool
    phone_verified: bool
    has_password: bool
    roles: list[str]
    biography: str | None
    created_at: datetime
    last_login: datetime | None
    session_id: str
    auth_time: datetime
    amr: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedUser:
    """A user whose row is locked until the transaction ends."""

    auth_epoch: int
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedSession(Account):
    """The account and session of an access token, and whether both are still in force."""

    expires_at: datetime | None
    allowed: bool
    live: bool
    evicted: bool
    """A newer sign-in ended the session."""
    auth_age: float
    """Seconds since the last authentication, by the clock of the database."""
    two_factor: bool
    has_logins: bool
    """The user has linked an external login or a wallet."""
    has_second_factor: bool
    """As ``two_factor_required_roles`` requires it."""
    beside_passkey: bool
    """The account has a passkey, and the session took another factor alone."""
    needs_passkey: bool
    """So it is, and an organization or a role of the user requires a second factor: the passkey."""
    has_same_contact_alone: bool
    """A message to a contact opened the session, and codes to the same contact are the only second factor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The live session of a refresh token (RFC 7662). Times are Unix seconds."""

    session_id: str
    user_id: str
    username: str | None
    issued_at: int
    expires_at: int | None


LOCK_USER = Query(
    LockedUser,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid
    for no key update
    """,
)
RAISE_EPOCH = Statement("update profiles.users set auth_epoch = auth_epoch + 1 where id = $1::uuid")
LIST = Query(
    Session,
    f"""
    select s.id::text, s.family_id::text, s.created_at, s.last_used_at, s.expires_at, s.revoked_at,
           s.user_agent, host(s.ip_addr) as ip
    from profiles.refresh_sessions s
    where s.user_id = $1::uuid and s.issuer = $2 and {live("s")}
      and {not_idle("s", 3)}
    order by s.last_used_at desc, s.id limit 100
    """,
)
OF_LIVE_SESSION = f"""
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3
      and {live("s")} and {not_idle("s", 4)} and {ALLOWED}
"""
ACCOUNT = """
    select u.id::text, u.email, u.phone_number, u.username, u.discord_username, u.email_verified,
           u.phone_verified,
           exists (select from profiles.user_passwords p where p.user_id = u.id) as has_password,
           array(
               select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
               where ur.user_id = u.id and r.deleted_at is null order by r.slug
           ) as roles,
           u.biography, u.created_at, u.last_login,
"""
# The account of an enrollment token, without a session. $3 is the time of its first factor.
# $4 is true if that was a passkey, which is then no second one, or if passkeys are off.
ENROLLEE = Query(
    AuthenticatedSession,
    f"""
    {ACCOUNT} '' as session_id, to_timestamp($3::float8) as auth_time, '{{}}'::text[] as amr,
           null::timestamptz as expires_at, {ALLOWED} as allowed, true as live, false as evicted,
           extract(epoch from now() - to_timestamp($3::float8))::float8 as auth_age,
           {HAS_TWO_FACTOR} as two_factor,
           exists (select from profiles.user_providers l where l.user_id = u.id) as has_logins,
           false as has_second_factor, false as beside_passkey, false as needs_passkey,
           false as has_same_contact_alone
    from profiles.users u
    where u.id = $1::uuid and u.auth_epoch = $2 and not {HAS_TWO_FACTOR} and ($4 or not {OWNS_PASSKEY})
    """,
)
# $1 the session of a refresh token; no row unless it is live. $2 the methods that are exempt from the policy.
LACKS_FACTOR = Query(
    bool,
    f"""
    select not ({HAS_TWO_FACTOR} or 'mfa' = any(s.amr) or coalesce(s.auth_method = any($2::text[]), false))
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and {live("s")}
    """,
)


PURGE = Query(
    int,
    """
    with dead as (
        select id from profiles.refresh_sessions
        where revoked_at < now() - $1::float8 * interval '1 second'
           or expires_at < now() - $1::float8 * interval '1 second'
           or ($3::float8 is not null and last_used_at < now() - ($1::float8 + $3) * interval '1 second')
        limit $2 for update skip locked
    ), gone as (
        delete from profiles.refresh_sessions s using dead where s.id = dead.id returning 1
    )
    select count(*)::int from gone
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session that was just ended, its user, its event, and whether a webhook is to receive that."""

    id: str
    user_id: str
    event_id: int
    webhook: bool


def ending(which: str) -> Query[EndedSession]:
    """Return the statement that ends the live sessions of a condition and returns them.

    $1 the issuer · $2 reason · $3 address · $4 user agent · $5 actor · $6 data · $7 sinks ·
    $8 on: the condition.
    Rows are locked in the order of their ids, so that two sweeps never deadlock.
    """
    return Query(
        EndedSession,
        f"""
        with doomed as (
            select s.id from profiles.refresh_sessions s where {live("s")} and ({which})
            order by s.id for no key update
        ), ended as (
            update profiles.refresh_sessions s set revoked_at = now(), revoke_reason = $2
            from doomed where s.id = doomed.id returning s.id, s.user_id
        ), event as (
            insert into profiles.session_events
                (issuer, user_id, session_id, event, reason, ip_addr, user_agent, actor, data)
            select $1, user_id::text, id::text, 'session_revoked', $2, $3::text::inet, $4, $5,
                   $6::text::jsonb
            from ended returning id, session_id, session_events.event as type
        ), queued as (
            insert into profiles.event_outbox (sink, event_id)
            select sink, event.id from event cross join unnest($7::text[]) as sink
        ), {TO_WEBHOOKS}
        select ended.id::text, user_id::text, event.id as event_id, exists (select from webhooks) as webhook
        from ended join event on event.session_id = ended.id::text
        """,
    )


END_ONE = ending("s.id = $8::uuid")
END_OF_USER = ending("s.id = $8::uuid and s.user_id = $9::uuid")
END_ALL = ending("s.user_id = $8::uuid and s.id is distinct from $9::uuid")
