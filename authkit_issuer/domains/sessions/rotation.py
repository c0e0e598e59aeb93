"""Rotates a refresh token: one statement (``ROTATE``) decides, and only a refusal reads why.

The end of a session is set once, when it opens: no rotation moves it. ``store.predicates`` says which
sessions are live, and which have been idle too long.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.namespace import OrgName
from authkit_issuer.domains.sessions.grace import MAX_FORGIVEN_IN_ROW, within_grace
from authkit_issuer.domains.sessions.queries import END_ALL, ending
from authkit_issuer.domains.sessions.revocation import end_sessions
from authkit_issuer.domains.sessions.token_pair import TokenPair, pair
from authkit_issuer.domains.tokens.queries import (
    IS_MEMBER,
    ORG_ROLES,
    TokenFacts,
    fact_columns,
    lacks_org_factor,
)
from authkit_issuer.domains.tokens.service import OrgGrant, Tokens
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import RefreshToken
from authkit_issuer.store.batched import BatchedQuery
from authkit_issuer.store.predicates import ALLOWED, live, not_idle
from authkit_issuer.store.query import Query

END_REPLAYED = ending("s.id = $8::uuid and s.generation > $9::bigint")


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
          and {live("s")} and {not_idle("s", 7)}
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
           {live("s")} and {not_idle("s", 5)} as live,
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
        where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3 and {live("s")} and {not_idle("s", 5)}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRequest:
    """A presented refresh token, its client, and the organization that the access token is to name."""

    token: RefreshToken
    client: Client
    org: OrgName | None = None

    @property
    def key(self) -> tuple[str, int]:
        """The session and the generation."""
        return self.token.session_id, self.token.generation


async def rotate(rt: Runtime, request: RefreshRequest) -> TokenPair:
    """Return the successor of a refresh token and a fresh access token; raises as ``sessions.exchange``."""
    token = request.token
    if rt.keys.current().signing is None:
        # Before anything is rotated: a service that cannot sign must not use tokens up.
        raise errors.MissingSigner
    if token.generation >= refresh_token.MAX_GENERATION:
        raise errors.InvalidRefreshToken
    if not rt.config.refresh_rotation_grace:
        return await _sign_then_rotate(rt, request)
    replaced = rt.exchanges.setdefault(request.key, asyncio.Event())
    rotated = await _rotate(rt, request)
    if rotated is None:
        found = await _diagnose(rt, request)
        return await _refuse_or_repeat(rt, request, found, concurrent=replaced.is_set())
    # A request that arrives from now on is not concurrent with this one.
    rt.exchanges.pop(request.key, replaced).set()
    return await _token_pair(rt, request, rotated, token.generation + 1)


async def _sign_then_rotate(rt: Runtime, request: RefreshRequest) -> TokenPair:
    """Rotate last: with a grace of 0, a client whose token is used up and who got no other cannot recover."""
    found = await _diagnose(rt, request)
    if not (found and found.rotates and request.token.generation >= found.generation):
        return await _refuse_or_repeat(rt, request, found)
    tokens = await _token_pair(rt, request, found, request.token.generation + 1)
    if await _rotate(rt, request) is None:
        return await _refuse_or_repeat(rt, request, await _diagnose(rt, request))
    return tokens


async def _rotate(rt: Runtime, request: RefreshRequest) -> RotatedSession | None:
    config = rt.config
    own = (
        request.token.session_id,
        request.token.generation,
        request.token.key,
        identifiers.user_agent(request.client.user_agent),
        identifiers.ip_address(request.client.ip),
    )
    common = (config.issuer, config.refresh_idle_duration)
    if request.org is None:
        return await rt.batched.maybe(ROTATE, own, common)
    return await rt.maybe(ROTATE_ORG, *own, *common, request.org.id)


async def _token_pair(
    rt: Runtime, request: RefreshRequest, session: RotatedSession, generation: int
) -> TokenPair:
    """Return the tokens of a generation; after a failure here the client repeats within the grace window."""
    entitlements = await Entitlements(rt).for_token(session.user_id)
    access = Tokens(rt).mint(
        session,
        entitlements,
        session_id=session.session_id,
        auth_time=session.auth_time,
        amr=session.amr,
        not_after=session.expires_at,
        org=None
        if request.org is None
        else OrgGrant(id=request.org.id, slug=request.org.slug, roles=session.org_roles),
    )
    refresh = refresh_token.encode(
        rt.keys.current(),
        rt.config.issuer,
        session_id=session.session_id,
        generation=generation,
        nonce=request.token.nonce,
    )
    return pair(rt, access, refresh, session_id=session.session_id, user_id=session.user_id)


async def _diagnose(rt: Runtime, request: RefreshRequest) -> Diagnosis | None:
    org = () if request.org is None else (request.org.id,)
    return await rt.maybe(
        DIAGNOSE_ORG if org else DIAGNOSE,
        request.token.session_id,
        request.token.key,
        rt.config.issuer,
        request.token.generation,
        rt.config.refresh_idle_duration,
        rt.config.refresh_rotation_grace,
        *org,
    )


async def _refuse_or_repeat(
    rt: Runtime, request: RefreshRequest, found: Diagnosis | None, *, concurrent: bool = False
) -> TokenPair:
    """Raise why nothing rotated, or return the same successor again; nothing has been changed so far."""
    if found is None:
        raise errors.InvalidRefreshToken
    if not found.key_fits:
        await _record(rt, request, found, SessionEventType.REFRESH_TOKEN_FORGED)
        raise errors.InvalidRefreshToken
    if not found.allowed:
        reason = SessionRevokeReason.SOFT_DELETED if found.deleted else SessionRevokeReason.BANNED
        await end_sessions(rt, END_ALL, found.user_id, None, reason=reason, actor=None, client=request.client)
        raise errors.UserBanned
    if not found.live:
        raise errors.SessionEvicted if found.evicted else errors.InvalidRefreshToken
    if not found.is_member:
        raise errors.NotOrgMember
    if found.lacks_factor:
        raise errors.TwoFactorRequiredByOrg
    if found.within_grace:
        generation = await _forgive(rt, request, found, concurrent=concurrent)
        if generation is not None:
            return await _token_pair(rt, request, found, generation)
    if request.token.generation >= found.generation:
        # A ban was lifted, or the user joined the organization, between the two statements; a retry rotates.
        raise errors.DatabaseUnavailable
    raise await _end_replayed(rt, request, found)


async def _forgive(rt: Runtime, request: RefreshRequest, found: Diagnosis, *, concurrent: bool) -> int | None:
    """Return the generation that a replaced token gets, None if too many in a row were forgiven.

    With ``concurrent``, the token was replaced while this request ran, as happens between tabs; that is not
    counted. A party that refreshes after another one cannot arrange it.
    The first such token from elsewhere of each generation leaves an event, which notifies the owner.
    """
    async with rt.transaction() as tx:
        forgiven = await tx.maybe(
            FORGIVE,
            found.session_id,
            request.token.key,
            rt.config.issuer,
            request.token.generation,
            rt.config.refresh_idle_duration,
            rt.config.refresh_rotation_grace,
            concurrent,
            _is_from_elsewhere(request.client, found),
        )
        if forgiven is None:
            return None
        if forgiven.newly_shared:
            await _record(tx, request, found, SessionEventType.SESSION_REFRESH_SHARED)
        return forgiven.generation


async def _end_replayed(rt: Runtime, request: RefreshRequest, found: Diagnosis) -> errors.AuthError:
    """End the session of a replayed token and return the refusal."""
    presented = request.token.generation
    distance = found.generation - presented
    data = {
        "class": "repeated" if found.within_grace else "recent" if distance == 1 else "stale",
        "presented": presented,
        "current": found.generation,
        "distance": distance,
    }
    ended = await end_sessions(
        rt,
        END_REPLAYED,
        found.session_id,
        presented,
        reason=SessionRevokeReason.REFRESH_REUSE_DETECTED,
        actor=None,
        client=request.client,
        data=data,
    )
    return errors.RefreshTokenReuseDetected(evidence=data) if ended else errors.InvalidRefreshToken()


def _is_from_elsewhere(client: Client, found: Diagnosis) -> bool:
    """True if the client's network or user agent is not that of the latest rotation."""
    agent = identifiers.user_agent(client.user_agent)
    moved = identifiers.ip_prefix(client.ip) != identifiers.ip_prefix(found.ip)
    return bool((client.ip and moved) or (agent and agent != found.user_agent))


async def _record(rt: Runtime, request: RefreshRequest, found: Diagnosis, event: SessionEventType) -> None:
    await Events(rt).record(
        event, actor=None, user_id=found.user_id, session_id=found.session_id, client=request.client
    )
