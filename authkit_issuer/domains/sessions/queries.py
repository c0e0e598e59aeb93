"""The rows and the SQL of refresh sessions.

A statement that ends a session also writes its ``session_revoked`` event and that event's outbox rows:
neither is ever stored without the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from authkit_issuer.domains.tokens.queries import FACT_COLUMNS, IS_MEMBER, ORG_ROLES, TokenFacts
from authkit_issuer.store.batched import BatchedQuery
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, awake, live
from authkit_issuer.store.query import Query, Statement

MAX_FORGIVEN_IN_ROW = 3
"""Generations in a row that are forgiven. A lost answer does not repeat at each rotation; a thief does."""


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
class RotatedSession(TokenFacts):
    """A session that was just rotated, with all that the next access token says."""

    session_id: str
    auth_time: datetime
    amr: list[str]
    expires_at: datetime | None
    org_roles: list[str]
    """Empty unless the client asked for an organization's token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis(RotatedSession):
    """A session that did not rotate, with every possible reason."""

    key_fits: bool
    allowed: bool
    deleted: bool
    is_member: bool
    """True unless the client asked for a token of an organization that the user is not a member of."""
    live: bool
    generation: int
    within_grace: bool
    """The presented generation was replaced, and its successor is unused or was used within the grace."""
    ip: str | None
    user_agent: str | None

    @property
    def rotates(self) -> bool:
        """True if a token of the current generation would rotate."""
        return self.key_fits and self.allowed and self.live and self.is_member


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgiven:
    """The generation that a forgiven token gets, and whether the sharing from elsewhere is new."""

    generation: int
    newly_shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedSession(Account):
    """The account and session of an access token, and whether both are still in force."""

    allowed: bool
    live: bool
    auth_age: float
    """Seconds since the last authentication, by the clock of the database."""
    two_factor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertedSession(TokenFacts):
    """A session that was just inserted."""

    auth_time: datetime
    expires_at: datetime | None
    first: bool
    """The user has never signed in before."""
    familiar: bool
    """A sign-in of the last 30 days had the same user agent and network."""


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
_PREFIX = "network(set_masklen({0}, case family({0}) when 4 then 32 else 64 end))"
"""The SQL of ``identifiers.ip_prefix``."""
INSERT = Query(
    InsertedSession,
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
    where s.user_id = $1::uuid and s.issuer = $2 and {live("s")}
      and {awake("s", 3)}
    order by s.last_used_at desc, s.id limit 100
    """,
)
OWNER = Query(
    str,
    """
    select s.user_id::text from profiles.refresh_sessions s
    where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3
    """,
)
_OF_LIVE_SESSION = f"""
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3
      and {live("s")} and {awake("s", 4)} and {ALLOWED}
"""
GRANT = Query(
    Grant,
    f"""
    select s.id::text as session_id, u.id::text as user_id, u.username,
           extract(epoch from coalesce(s.rotated_at, s.created_at))::bigint as issued_at,
           extract(epoch from s.expires_at)::bigint as expires_at
    {_OF_LIVE_SESSION} and s.generation <= $5
    """,
)
# Of any generation: an answer that differed for the current one would say when the owner has refreshed.
RESOLVE = Query(str, f"select s.id::text {_OF_LIVE_SESSION}")
AUTHENTICATE = Query(
    AuthenticatedSession,
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
           {live("s")} and {awake("s", 4)} as live,
           extract(epoch from now() - s.auth_time)::float8 as auth_age,
           {HAS_TWO_FACTOR} as two_factor
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3
    """,
)


_NO_ROLES = "'{}'::text[]"
_ONE = "select $1::uuid as id, $2::bigint as generation, $3::bytea as key, $4::text as agent, $5::text as ip"
# The statement skips locked rows, so that one slow transaction does not delay every rotation of the batch.
_MANY = """
    select (select f.id from profiles.refresh_sessions f where f.id = given.id for no key update skip locked),
           given.generation, given.key, given.agent, given.ip
    from unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[], $5::text[])
        as given (id, generation, key, agent, ip)
"""


def _rotating(presented: str, *, condition: str = "", roles: str = _NO_ROLES) -> Query[RotatedSession]:
    """Return the statement that rotates the sessions of the tokens that ``presented`` selects.

    $1 session ids · $2 generations · $3 token keys · $4 user agents · $5 addresses · $6 the issuer ·
    $7 seconds a session may idle · $8 the organization.
    """
    return Query(
        RotatedSession,
        f"""
        with a (id, generation, key, agent, ip) as ({presented})
        update profiles.refresh_sessions s
        set generation = a.generation + 1,
            rotated_at = now(),
            rotated_before = s.rotated_at,
            last_used_at = now(),
            user_agent = coalesce(a.agent, s.user_agent),
            ip_addr = coalesce(a.ip::inet, s.ip_addr)
        from a cross join profiles.users u
        where s.id = a.id and s.token_key = a.key and s.issuer = $6 and s.generation <= a.generation
          and {live("s")} and {awake("s", 7)}
          and u.id = s.user_id and {ALLOWED} {condition}
        returning {FACT_COLUMNS}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at,
                  {roles} as org_roles
        """,
    )


def _within_grace(presented: str, grace: str) -> str:
    """Return SQL that is true if the session ``s`` may forgive a replaced generation.

    Its successor is unused, or was used within the seconds of grace. The two latest rotations are known,
    which is as far back as three generations in a row reach. With a grace of 0 nothing is forgiven.
    """
    since = f"now() - {grace} * interval '1 second'"
    return f"""({grace}::float8 > 0 and case s.generation - {presented}::bigint
        when 1 then true when 2 then s.rotated_at > {since} when 3 then s.rotated_before > {since} else false
    end)"""


def _diagnosing(member: str, roles: str) -> Query[Diagnosis]:
    """Return the statement that reads why a session did not rotate.

    $1 session id · $2 token key · $3 the issuer · $4 generation · $5 seconds a session may idle ·
    $6 seconds of grace · $7 the organization.
    """
    return Query(
        Diagnosis,
        f"""
    select {FACT_COLUMNS}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at, {roles} as org_roles,
           s.token_key = $2 as key_fits, {ALLOWED} as allowed, u.deleted_at is not null as deleted,
           {member} as is_member,
           {live("s")} and {awake("s", 5)} as live,
           s.generation,
           {_within_grace("$4", "$6")} as within_grace,
           host(s.ip_addr) as ip, s.user_agent
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.issuer = $3
        """,
    )


ROTATE = BatchedQuery(one=_rotating(_ONE), many=_rotating(_MANY), key=attrgetter("session_id"))
DIAGNOSE = _diagnosing("true", _NO_ROLES)
# For a token of an organization: the session rotates only if the user is a member.
ROTATE_ORG = _rotating(
    _ONE, condition=f"and {IS_MEMBER.format(org='$8::uuid')}", roles=ORG_ROLES.format(org="$8::uuid")
)
DIAGNOSE_ORG = _diagnosing(IS_MEMBER.format(org="$7::uuid"), ORG_ROLES.format(org="$7::uuid"))
# A party whose token was forgiven and needs it again continues the row, whichever party rotated in between.
# $7 is true for a request that ran while its token was replaced, which is not counted.
FORGIVE = Query(
    Forgiven,
    f"""
    with held as (
        select s.id, s.generation, $8::bool and s.shared_generation <> s.generation as newly_shared,
               case when s.forgiven_generation = s.generation or $7::bool then s.forgiven_in_row
                    when $4::bigint <= s.forgiven_generation then s.forgiven_in_row + 1
                    else 1 end as in_row
        from profiles.refresh_sessions s
        where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3 and {live("s")} and {awake("s", 5)}
          and {_within_grace("$4", "$6")}
        for no key update
    )
    update profiles.refresh_sessions s
    set forgiven_generation = case when $7 then s.forgiven_generation else held.generation end,
        forgiven_in_row = held.in_row,
        shared_generation = case when held.newly_shared then held.generation else s.shared_generation end
    from held where s.id = held.id and held.in_row <= {MAX_FORGIVEN_IN_ROW}
    returning held.generation, held.newly_shared
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
    """A session that was just ended, and its user."""

    id: str
    user_id: str


def _ending(which: str) -> Query[EndedSession]:
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
            from ended returning id
        ), queued as (
            insert into profiles.event_outbox (sink, event_id)
            select sink, event.id from event cross join unnest($7::text[]) as sink
        )
        select id::text, user_id::text from ended
        """,
    )


END_ONE = _ending("s.id = $8::uuid")
END_OF_USER = _ending("s.id = $8::uuid and s.user_id = $9::uuid")
END_ALL = _ending("s.user_id = $8::uuid and s.id is distinct from $9::uuid")
END_REPLAYED = _ending("s.id = $8::uuid and s.generation > $9::bigint")
END_OLDEST = _ending(
    f"""
    s.id in (
        select k.id from profiles.refresh_sessions k
        where k.user_id = $8::uuid and k.issuer = $9
          and {live("k")}
        order by k.last_used_at desc, k.id offset $10
    )
    """
)
