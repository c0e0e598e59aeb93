"""What a token opens now (RFC 7662): the session of a refresh token, the claims of an access token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authkit_issuer import errors
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.presented_tokens import (
    decode_refresh_token,
    find_session,
    verified_claims,
)
from authkit_issuer.domains.tokens.service import Tokens
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query
from authkit_verify import Claims

GRANT = Query(
    sql.Grant,
    f"""
    select s.id::text as session_id, u.id::text as user_id, u.username,
           extract(epoch from coalesce(s.rotated_at, s.created_at))::bigint as issued_at,
           extract(epoch from s.expires_at)::bigint as expires_at
    {sql.OF_LIVE_SESSION} and s.generation <= $5
    """,
)


async def grant_of_refresh_token(rt: Runtime, token: str) -> sql.Grant | None:
    """Return the live session of a refresh token that no other has replaced, else None."""
    try:
        decoded = decode_refresh_token(rt, token)
    except errors.InvalidRefreshToken:
        return None
    return await rt.maybe(
        GRANT,
        decoded.session_id,
        decoded.key,
        rt.config.issuer,
        rt.config.refresh_idle_duration,
        decoded.generation,
    )


async def introspect_access_token(rt: Runtime, token: str) -> Mapping[str, Any] | None:
    """Return the claims of an access token in force with the roles of now; raises as ``claims_of``."""
    claims = await verified_claims(rt, token)
    roles = None if claims is None else await _present_roles(rt, claims)
    if claims is None or roles is None:
        return None
    if claims.org is None:
        return {**claims.raw, "roles": roles} if "roles" in claims.raw else claims.raw
    try:
        grant = await Tokens(rt).org_grant(claims.user_id, claims.org, claims.amr)
    except (
        errors.OrgModeNotMulti,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.TwoFactorRequiredByOrg,
    ):
        return None
    if claims.org_id != grant.id:
        # The name was freed by a purge and belongs to another organization now.
        return None
    return {**claims.raw, "org": grant.slug, "roles": grant.roles}


async def _present_roles(rt: Runtime, claims: Claims) -> Sequence[str] | None:
    """Return the global roles of a user who may act and whose session, if the token has one, is live."""
    if not claims.session_id:
        user = await Tokens(rt).enrich(claims.user_id)
        return user.roles if user.allowed else None
    found = await find_session(rt, claims.user_id, claims.session_id)
    return found.roles if found is not None and found.allowed and found.live else None
