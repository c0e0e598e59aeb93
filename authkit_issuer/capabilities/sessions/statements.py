"""The rows and the SQL of refresh sessions.

Whatever ends a session writes its ``session_revoked`` event and that event's outbox rows in the same
statement: neither can stand without the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.capabilities.tokens import ALLOWED, FACT_COLUMNS, TokenFacts
from authkit_issuer.store.query import Query, Statement

LIVE = "s.revoked_at is null and (s.expires_at is null or s.expires_at > now())"
"""SQL that tells whether the session ``s`` may still be used, idle time left aside."""


def _awake(number: int) -> str:
    """Return SQL that tells whether ``s`` was used within the seconds of this parameter; null is no limit."""
    return f"(${number}::float8 is null or s.last_used_at > now() - ${number} * interval '1 second')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in, as its owner may see it. Times are aware, in UTC."""

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
    """The user behind a live session, with what ``/auth/user/me`` shows of it."""

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
class Gate:
    """Whether a user may open a session."""

    auth_epoch: int
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated(TokenFacts):
    """The result of a rotation: all that the next access token needs."""

    session_id: str
    auth_time: datetime
    amr: list[str]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(Rotated):
    """A session that did not rotate, with everything that may be the reason."""

    key_fits: bool
    allowed: bool
    deleted: bool
    live: bool
    generation: int
    forgiven: bool
    """The presented generation is in the grace window."""
    ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Account):
    """What stands behind an access token: the account, and whether user and session still count."""

    allowed: bool
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(TokenFacts):
    """A session that was just inserted."""

    auth_time: datetime
    expires_at: datetime | None


LOCK_USER = Query(
    Gate,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid
    for no key update
    """,
)
RAISE_EPOCH = Statement("update profiles.users set auth_epoch = auth_epoch + 1 where id = $1::uuid")
INSERT = Query(
    Opened,
    f"""
    with session as (
        insert into profiles.refresh_sessions
            (id, family_id, user_id, issuer, token_key, expires_at, auth_method, auth_time, amr,
             user_agent, ip_addr)
        values ($2::uuid, $2::uuid, $1::uuid, $3, $4, now() + $5::float8 * interval '1 second', $6,
                now(), $7::text[], $8, $9::text::inet)
        returning auth_time, expires_at
    ), login as (
        update profiles.users set last_login = now() where id = $1::uuid
    )
    select {FACT_COLUMNS}, session.auth_time, session.expires_at
    from profiles.users u cross join session where u.id = $1::uuid
    """,
)
LIST = Query(
    Session,
    f"""
    select s.id::text, s.family_id::text, s.created_at, s.last_used_at, s.expires_at, s.revoked_at,
           s.user_agent, host(s.ip_addr) as ip
    from profiles.refresh_sessions s
    where s.user_id = $1::uuid and s.issuer = $2 and {LIVE}
      and {_awake(3)}
    order by s.last_used_at desc, s.id limit 100
    """,
)
RESOLVE = Query(
    str,
    f"""
    select s.id::text from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3 and s.generation <= $4 and {LIVE}
      and {_awake(5)} and {ALLOWED}
    """,
)
AUTHENTICATE = Query(
    Standing,
    f"""
    select u.id::text, u.email, u.phone_number, u.username, u.discord_username, u.email_verified,
           u.phone_verified,
           exists (select from profiles.user_passwords p where p.user_id = u.id) as has_password,
           array(
               select r.slug from profiles.user_roles ur join profiles.roles r on r.id = ur.role_id
               where ur.user_id = u.id and r.deleted_at is null order by r.slug
           ) as roles,
           u.biography, u.created_at, u.last_login, s.id::text as session_id, s.auth_time, s.amr,
           {ALLOWED} as allowed,
           {LIVE} and {_awake(4)} as live
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3
    """,
)

# A new grace window opens only when the last one is over, so that a chain of rotations within one window
# (a refresh in one tab, an organisation switch in another) forgives them all, and yet ends.
ROTATE = Query(
    Rotated,
    f"""
    with rotated as (
        update profiles.refresh_sessions s
        set generation = $2::bigint + 1,
            rotated_at = now(),
            last_used_at = now(),
            grace_from = case when s.grace_since <= now() - $6::float8 * interval '1 second'
                              then $2::bigint else s.grace_from end,
            grace_since = case when s.grace_since <= now() - $6::float8 * interval '1 second'
                               then now() else s.grace_since end,
            user_agent = coalesce($7, s.user_agent),
            ip_addr = coalesce($8::text::inet, s.ip_addr)
        from profiles.users u
        where s.id = $1::uuid and s.token_key = $3 and s.issuer = $4 and s.generation <= $2::bigint and {LIVE}
          and {_awake(5)}
          and u.id = s.user_id and {ALLOWED}
        returning s.id, s.user_id, s.auth_time, s.amr, s.expires_at
    )
    select {FACT_COLUMNS}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at
    from rotated s join profiles.users u on u.id = s.user_id
    """,
)
DIAGNOSE = Query(
    Diagnosis,
    f"""
    select {FACT_COLUMNS}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at,
           s.token_key = $2 as key_fits, {ALLOWED} as allowed, u.deleted_at is not null as deleted,
           {LIVE} and {_awake(5)} as live,
           s.generation,
           $4::bigint < s.generation and (
               ($4::bigint = s.generation - 1 and s.rotated_at > now() - $6::float8 * interval '1 second')
               or ($4::bigint >= s.grace_from and s.grace_since > now() - $6::float8 * interval '1 second')
           ) as forgiven,
           host(s.ip_addr) as ip, s.user_agent
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.issuer = $3
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


def _ending(which: str) -> Query[str]:
    """Build the statement that ends the live sessions of a condition; returns their ids.

    $1 the issuer · $2 reason · $3 address · $4 user agent · $5 data · $6 sinks · $7 on: the condition.
    Rows are locked in the order of their ids, so that two sweeps never deadlock.
    """
    return Query(
        str,
        f"""
        with doomed as (
            select s.id from profiles.refresh_sessions s where {LIVE} and ({which})
            order by s.id for no key update
        ), ended as (
            update profiles.refresh_sessions s set revoked_at = now(), revoke_reason = $2
            from doomed where s.id = doomed.id returning s.id, s.user_id
        ), event as (
            insert into profiles.session_events
                (issuer, user_id, session_id, event, reason, ip_addr, user_agent, data)
            select $1, user_id::text, id::text, 'session_revoked', $2, $3::text::inet, $4, $5::text::jsonb
            from ended returning id
        ), queued as (
            insert into profiles.event_outbox (sink, event_id)
            select sink, event.id from event cross join unnest($6::text[]) as sink
        )
        select id::text from ended
        """,
    )


END_ONE = _ending("s.id = $7::uuid")
END_OF_USER = _ending("s.id = $7::uuid and s.user_id = $8::uuid")
END_ALL = _ending("s.user_id = $7::uuid and s.id is distinct from $8::uuid")
END_REPLAYED = _ending("s.id = $7::uuid and s.generation > $8::bigint")
END_OLDEST = _ending(
    """
    s.id in (
        select k.id from profiles.refresh_sessions k
        where k.user_id = $7::uuid and k.issuer = $8
          and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
        order by k.last_used_at desc, k.id offset $9
    )
    """
)
