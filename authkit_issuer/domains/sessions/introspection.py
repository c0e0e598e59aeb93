"""Introspection and revocation of a presented token (RFC 7662, RFC 7009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.revocation import end_sessions
from authkit_issuer.domains.tokens.service import Tokens
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import RefreshToken
from authkit_verify import Claims, TokenError


def decode_refresh_token(rt: Runtime, token: str) -> RefreshToken:
    """Return the contents of a refresh token of this service; raises ``InvalidRefreshToken``."""
    decoded = refresh_token.decode(rt.keys.current(), rt.config.issuer, token)
    if decoded is None:
        raise errors.InvalidRefreshToken
    return decoded


def session_id_of(rt: Runtime, token: str) -> str | None:
    """Return the session that a refresh token of this service names, without asking whether it lives."""
    decoded = refresh_token.decode(rt.keys.current(), rt.config.issuer, token)
    return None if decoded is None else decoded.session_id


async def resolve_refresh_token(rt: Runtime, token: str) -> str:
    """Return the id of the live session of a refresh token of any generation.

    Raises ``InvalidRefreshToken``.
    """
    decoded = decode_refresh_token(rt, token)
    session_id = await rt.maybe(
        sql.RESOLVE, decoded.session_id, decoded.key, rt.config.issuer, rt.config.refresh_idle_duration
    )
    if session_id is None:
        raise errors.InvalidRefreshToken
    return session_id


async def grant_of_refresh_token(rt: Runtime, token: str) -> sql.Grant | None:
    """Return the live session of a refresh token that no other has replaced, else None."""
    try:
        decoded = decode_refresh_token(rt, token)
    except errors.InvalidRefreshToken:
        return None
    return await rt.maybe(
        sql.GRANT,
        decoded.session_id,
        decoded.key,
        rt.config.issuer,
        rt.config.refresh_idle_duration,
        decoded.generation,
    )


async def introspect_access_token(rt: Runtime, token: str) -> Mapping[str, Any] | None:
    """Return the claims of an access token in force with the roles of now; raises as ``claims_of``."""
    claims = await _verified_claims(rt, token)
    roles = None if claims is None else await _present_roles(rt, claims)
    if claims is None or roles is None:
        return None
    if claims.org is None:
        return {**claims.raw, "roles": roles} if "roles" in claims.raw else claims.raw
    try:
        grant = await Tokens(rt).org_grant(claims.user_id, claims.org)
    except (errors.OrgModeNotMulti, errors.OrgNotFound, errors.NotOrgMember):
        return None
    if claims.org_id != grant.id:
        # The name was freed by a purge and belongs to another organization now.
        return None
    return {**claims.raw, "org": grant.slug, "roles": grant.roles}


async def revoke_token(rt: Runtime, token: str, client: Client | None) -> bool:
    """End the session of a refresh token of any generation, or of an access token; False if nothing ended."""
    user_id, session_id = await _owner(rt, token)
    if user_id is None or session_id is None:
        return False
    reason = SessionRevokeReason.LOGOUT
    return bool(
        await end_sessions(rt, sql.END_OF_USER, session_id, user_id, reason=reason, actor=None, client=client)
    )


async def find_session(rt: Runtime, user_id: str, session_id: str) -> sql.AuthenticatedSession | None:
    """Return the account and session of an access token, in force or not; None if this user has none such."""
    user, session = identifiers.uuid_or_none(user_id), identifiers.uuid_or_none(session_id)
    if user is None or session is None:
        return None
    return await rt.maybe(sql.AUTHENTICATE, session, user, rt.config.issuer, rt.config.refresh_idle_duration)


async def _owner(rt: Runtime, token: str) -> tuple[str | None, str | None]:
    """Return the user and the session of a token of either kind."""
    if token.startswith(refresh_token.PREFIX):
        try:
            decoded = decode_refresh_token(rt, token)
        except errors.InvalidRefreshToken:
            return None, None
        owner = await rt.maybe(sql.OWNER, decoded.session_id, decoded.key, rt.config.issuer)
        return owner, decoded.session_id
    claims = await _verified_claims(rt, token)
    if claims is None:
        return None, None
    return identifiers.uuid_or_none(claims.user_id), identifiers.uuid_or_none(claims.session_id or "")


async def _verified_claims(rt: Runtime, token: str) -> Claims | None:
    """Return the claims of an access token of this service, None for any other text.

    Raises ``TokenError`` with ``keys_unavailable``: without keys the answer is not "no".
    """
    try:
        return await rt.own_tokens.verify(token)
    except TokenError as error:
        if error.code == "keys_unavailable":
            raise
        return None


async def _present_roles(rt: Runtime, claims: Claims) -> Sequence[str] | None:
    """Return the global roles of a user who may act and whose session, if the token has one, is live."""
    if not claims.session_id:
        user = await Tokens(rt).enrich(claims.user_id)
        return user.roles if user.allowed else None
    found = await find_session(rt, claims.user_id, claims.session_id)
    return found.roles if found is not None and found.allowed and found.live else None
