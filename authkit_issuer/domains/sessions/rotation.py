"""Rotates a refresh token: one statement decides, and only a refusal reads why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.namespace import OrgName
from authkit_issuer.domains.sessions import rotation_queries as sql
from authkit_issuer.domains.sessions.queries import END_ALL, END_REPLAYED
from authkit_issuer.domains.sessions.revocation import end_sessions
from authkit_issuer.domains.sessions.rotation_queries import Diagnosis, RotatedSession
from authkit_issuer.domains.sessions.token_pair import TokenPair, pair
from authkit_issuer.domains.tokens.service import OrgGrant, Tokens
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import RefreshToken


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
        return await rt.batched.maybe(sql.ROTATE, own, common)
    return await rt.maybe(sql.ROTATE_ORG, *own, *common, request.org.id)


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
        sql.DIAGNOSE_ORG if org else sql.DIAGNOSE,
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
            sql.FORGIVE,
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
