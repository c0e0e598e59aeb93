"""Reads a presented token, refresh or access: the session and the user that it names.

``introspection`` and ``revocation`` act on them, and ``rotation`` on refresh tokens.
"""

from __future__ import annotations

from dataclasses import replace

from authkit_issuer import errors, identifiers
from authkit_issuer.config import Config
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import RefreshToken
from authkit_issuer.store.predicates import (
    ALLOWED,
    HAS_TWO_FACTOR,
    IN_STRICT_ORG,
    OWNS_PASSKEY,
    has_same_contact_alone,
    has_second_factor,
    live,
    not_idle,
)
from authkit_issuer.store.query import Query
from authkit_verify import Claims, TokenError

OWNER = Query(
    str,
    """
    select s.user_id::text from profiles.refresh_sessions s
    where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3
    """,
)

# Of any generation: an answer that differed for the current one would say when the owner has refreshed.
RESOLVE = Query(str, f"select s.id::text {sql.OF_LIVE_SESSION}")

_BESIDE_PASSKEY = f"({OWNS_PASSKEY} and not {has_second_factor('s.amr')})"

AUTHENTICATE = Query(
    sql.AuthenticatedSession,
    f"""
    {sql.ACCOUNT} s.id::text as session_id, s.auth_time, s.amr,
           s.expires_at, {ALLOWED} as allowed,
           {live("s")} and {not_idle("s", 4)} as live,
           s.revoke_reason is not distinct from 'evicted' as evicted,
           extract(epoch from now() - s.auth_time)::float8 as auth_age,
           {HAS_TWO_FACTOR} as two_factor,
           exists (select from profiles.user_providers l where l.user_id = u.id) as has_logins,
           {has_second_factor("s.amr")} as has_second_factor,
           {_BESIDE_PASSKEY} as beside_passkey, {_BESIDE_PASSKEY} and {IN_STRICT_ORG} as needs_passkey,
           {has_same_contact_alone("s")} as has_same_contact_alone
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id
    where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3
    """,
)


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
        RESOLVE, decoded.session_id, decoded.key, rt.config.issuer, rt.config.refresh_idle_duration
    )
    if session_id is None:
        raise errors.InvalidRefreshToken
    return session_id


async def find_session(rt: Runtime, user_id: str, session_id: str) -> sql.AuthenticatedSession | None:
    """Return the account and session of an access token, in force or not; None if this user has none such."""
    user, session = identifiers.uuid_or_none(user_id), identifiers.uuid_or_none(session_id)
    if user is None or session is None:
        return None
    config = rt.config
    found = await rt.maybe(AUTHENTICATE, session, user, config.issuer, config.refresh_idle_duration)
    if found is None or found.has_second_factor:
        return found
    counted = [role for role in found.roles if role not in config.two_factor_required_roles]
    withheld = len(counted) < len(found.roles)
    # Another factor must not do to add one, or to remove the passkey.
    needs_passkey = found.needs_passkey or (withheld and found.beside_passkey)
    needs_passkey = needs_passkey and passkeys_are_factors(config)
    if not withheld and needs_passkey is found.needs_passkey:
        return found
    return replace(found, roles=counted, needs_passkey=needs_passkey)


def passkeys_are_factors(config: Config) -> bool:
    """True if a passkey can be a second factor, which its user then has to prove."""
    return config.webauthn_rp_id is not None and config.passkey_counts_as_two_factors


async def verified_claims(rt: Runtime, token: str) -> Claims | None:
    """Return the claims of an access token of this service, None for any other text.

    Raises ``TokenError`` with ``keys_unavailable``: without keys the answer is not "no".
    """
    try:
        return await rt.own_tokens.verify(token)
    except TokenError as error:
        if error.code == "keys_unavailable":
            raise
        return None


async def owner_of(rt: Runtime, token: str) -> tuple[str | None, str | None]:
    """Return the user and the session of a token of either kind."""
    if token.startswith(refresh_token.PREFIX):
        try:
            decoded = decode_refresh_token(rt, token)
        except errors.InvalidRefreshToken:
            return None, None
        owner = await rt.maybe(OWNER, decoded.session_id, decoded.key, rt.config.issuer)
        return owner, decoded.session_id
    claims = await verified_claims(rt, token)
    if claims is None:
        return None, None
    return identifiers.uuid_or_none(claims.user_id), identifiers.uuid_or_none(claims.session_id or "")
