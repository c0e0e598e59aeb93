"""The rows and the SQL of a refresh: rotate, read why not, and forgive a replaced token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from authkit_issuer.domains.sessions.grace import MAX_FORGIVEN_IN_ROW, within_grace
from authkit_issuer.domains.tokens.queries import (
    IS_MEMBER,
    ORG_ROLES,
    TokenFacts,
    fact_columns,
    lacks_org_factor,
)
from authkit_issuer.store.batched import BatchedQuery
from authkit_issuer.store.predicates import ALLOWED, awake, live
from authkit_issuer.store.query import Query


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
    lacks_factor: bool
    """The organization of the token requires a second factor, and the user has none."""
    live: bool
    evicted: bool
    """A newer sign-in ended the session."""
    generation: int
    within_grace: bool
    """The presented generation was replaced, and its successor is unused or was used within the grace."""
    ip: str | None
    user_agent: str | None

    @property
    def rotates(self) -> bool:
        """True if a token of the current generation would rotate."""
        return self.key_fits and self.allowed and self.live and self.is_member and not self.lacks_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgiven:
    """The generation that a forgiven token gets, and whether the sharing from elsewhere is new."""

    generation: int
    newly_shared: bool


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
        returning {fact_columns("s.amr")}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at,
                  {roles} as org_roles
        """,
    )


def _diagnosing(member: str, lacks_factor: str, roles: str) -> Query[Diagnosis]:
    """Return the statement that reads why a session did not rotate.

    $1 session id · $2 token key · $3 the issuer · $4 generation · $5 seconds a session may idle ·
    $6 seconds of grace · $7 the organization.
    """
    return Query(
        Diagnosis,
        f"""
    select {fact_columns("s.amr")}, s.id::text as session_id, s.auth_time, s.amr, s.expires_at,
           {roles} as org_roles,
           s.token_key = $2 as key_fits, {ALLOWED} as allowed, u.deleted_at is not null as deleted,
           {member} as is_member, {lacks_factor} as lacks_factor,
           {live("s")} and {awake("s", 5)} as live,
           s.revoke_reason is not distinct from 'evicted' as evicted,
           s.generation,
           {within_grace("$4", "$6")} as within_grace,
           host(s.ip_addr) as ip, s.user_agent
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.issuer = $3
        """,
    )


ROTATE = BatchedQuery(one=_rotating(_ONE), many=_rotating(_MANY), key=attrgetter("session_id"))
DIAGNOSE = _diagnosing("true", "false", _NO_ROLES)
# For a token of an organization: the session rotates only if the user is a member with what it requires.
ROTATE_ORG = _rotating(
    _ONE,
    condition=f"and {IS_MEMBER.format(org='$8::uuid')} and not {lacks_org_factor('$8::uuid', 's.amr')}",
    roles=ORG_ROLES.format(org="$8::uuid"),
)
DIAGNOSE_ORG = _diagnosing(
    IS_MEMBER.format(org="$7::uuid"),
    lacks_org_factor("$7::uuid", "s.amr"),
    ORG_ROLES.format(org="$7::uuid"),
)
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
          and {within_grace("$4", "$6")}
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
