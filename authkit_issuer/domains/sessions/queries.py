"""The rows and the SQL of refresh sessions.

Whatever ends a session writes its ``session_revoked`` event and that event's outbox rows in the same
statement: neither can stand without the other.
"""

from __future__ import annotations

from operator import attrgetter

from authkit_issuer.domains.sessions.rows import Diagnosis, Gate, Opened, Rotated, Session, Standing
from authkit_issuer.domains.tokens.queries import FACT_COLUMNS, IS_MEMBER, ORG_ROLES
from authkit_issuer.store.batched import BatchedQuery
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR
from authkit_issuer.store.query import Query, Statement

LIVE = "s.revoked_at is null and (s.expires_at is null or s.expires_at > now())"
"""SQL that tells whether the session ``s`` may still be used, idle time left aside."""


def _awake(number: int) -> str:
    """Return SQL that tells whether ``s`` was used within the seconds of this parameter; null is no limit."""
    return f"(${number}::float8 is null or s.last_used_at > now() - ${number} * interval '1 second')"


LOCK_USER = Query(
    Gate,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid
    for no key update
    """,
)
RAISE_EPOCH = Statement("update profiles.users set auth_epoch = auth_epoch + 1 where id = $1::uuid")
_PREFIX = "network(set_masklen({0}, case family({0}) when 4 then 32 else 64 end))"
"""SQL of what ``identifiers.ip_prefix`` says of an address."""
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
    select {FACT_COLUMNS}, session.auth_time, session.expires_at, u.last_login is null as first,
           exists (
               select from profiles.session_events e
               where e.user_id = $1::text and e.event = 'session_created'
                 and e.occurred_at > now() - interval '30 days' and e.user_agent is not distinct from $8
                 and {_PREFIX.format("e.ip_addr")} is not distinct from {_PREFIX.format("$9::text::inet")}
           ) as familiar
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
           {LIVE} and {_awake(4)} as live,
           extract(epoch from now() - s.auth_time)::float8 as auth_age,
           {HAS_TWO_FACTOR} as two_factor
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3
    """,
)


_NO_ROLES = "'{}'::text[]"
_ONE = "select $1::uuid as id, $2::bigint as generation, $3::bytea as key, $4::text as agent, $5::text as ip"
# Rows that somebody else holds are passed over, so that one slow transaction does not stop everybody's.
_MANY = """
    select (select f.id from profiles.refresh_sessions f where f.id = given.id for no key update skip locked),
           given.generation, given.key, given.agent, given.ip
    from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[], $5::text[])
        as given (id, generation, key, agent, ip)
"""


# A new grace window opens only when the last one is over, so that a chain of rotations within one window
# (a refresh in one tab, an organization switch in another) forgives them all, and yet ends.
def _rotating(presented: str, *, gate: str = "", roles: str = _NO_ROLES) -> Query[Rotated]:
    """Build the statement that rotates the sessions of the tokens that ``presented`` selects.

    $1 session ids · $2 generations · $3 token keys · $4 user agents · $5 addresses · $6 the issuer ·
    $7 seconds a session may idle · $8 seconds of grace · $9 the organization.
    """
    return Query(
        Rotated,
        f"""
        with a (id, generation, key, agent, ip) as ({presented})
        update profiles.refresh_sessions s
        set generation = a.generation + 1,
            rotated_at = now(),
            last_used_at = now(),
            grace_from = case when s.grace_since <= now() - $8::float8 * interval '1 second'
                              then a.generation else s.grace_from end,
            grace_since = case when s.grace_since <= now() - $8::float8 * interval '1 second'
                               then now() else s.grace_since end,
            user_agent = coalesce(a.agent, s.user_agent),
            ip_addr = coalesce(a.ip::inet, s.ip_addr)
        from a cross join profiles.users u
        where s.id = a.id and s.token_key = a.key and s.issuer = $6 and s.generation <= a.generation
          and {LIVE} and {_awake(7)}
          and u.id = s.user_id and {ALLOWED} {gate}
        returning {FACT_COLUMNS}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at,
                  {roles} as org_roles
        """,
    )


# Without grace nothing is forgiven, not even what was rotated after this statement's now().
def _diagnosing(member: str, roles: str) -> Query[Diagnosis]:
    return Query(
        Diagnosis,
        f"""
    select {FACT_COLUMNS}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at, {roles} as org_roles,
           s.token_key = $2 as key_fits, {ALLOWED} as allowed, u.deleted_at is not null as deleted,
           {member} as is_member,
           {LIVE} and {_awake(5)} as live,
           s.generation,
           $6::float8 > 0 and $4::bigint < s.generation and (
               ($4::bigint = s.generation - 1 and s.rotated_at > now() - $6::float8 * interval '1 second')
               or ($4::bigint >= s.grace_from and s.grace_since > now() - $6::float8 * interval '1 second')
           ) as forgiven,
           host(s.ip_addr) as ip, s.user_agent
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.issuer = $3
        """,
    )


ROTATE = BatchedQuery(one=_rotating(_ONE), many=_rotating(_MANY), key=attrgetter("session_id"))
DIAGNOSE = _diagnosing("true", _NO_ROLES)
# For a token of an organization: who is no member does not rotate either.
ROTATE_ORG = _rotating(
    _ONE, gate=f"and {IS_MEMBER.format(org='$9::uuid')}", roles=ORG_ROLES.format(org="$9::uuid")
)
DIAGNOSE_ORG = _diagnosing(IS_MEMBER.format(org="$7::uuid"), ORG_ROLES.format(org="$7::uuid"))
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
