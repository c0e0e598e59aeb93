"""A token somebody holds up: what stands behind it, and its end (RFC 7009, RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.revocation import Ending
from authkit_issuer.domains.tokens.service import Tokens
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import RefreshToken
from authkit_issuer.store.query import Query
from authkit_verify import TokenError


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A live session as a refresh token stands for it. Times are Unix seconds."""

    session_id: str
    user_id: str
    username: str | None
    issued_at: int
    expires_at: int | None


OWNER = Query(
    str,
    """
    select s.user_id::text from profiles.refresh_sessions s
    where s.id = $1::uuid and s.token_key = $2 and s.issuer = $3
    """,
)
STANDING = Query(
    Grant,
    """
    select s.id::text as session_id, u.id::text as user_id, u.username,
           extract(epoch from coalesce(s.rotated_at, s.created_at))::bigint as issued_at,
           extract(epoch from s.expires_at)::bigint as expires_at
    from profiles.refresh_sessions s join profiles.users u on u.id = s.user_id where s.id = $1::uuid
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """One text that may be a token of this service."""

    rt: Runtime
    token: str

    async def resolve(self) -> str:
        """Return the id of the live session of a refresh token; raises ``InvalidRefreshToken``."""
        token = self.decoded()
        found = await self.rt.maybe(
            sql.RESOLVE,
            token.session_id,
            token.key,
            self.rt.config.issuer,
            token.generation,
            self.rt.config.refresh_idle_duration,
        )
        if found is None:
            raise errors.InvalidRefreshToken
        return found

    async def grant(self) -> Grant | None:
        """Return what a refresh token opens now, None when that is nothing."""
        try:
            return await self.rt.maybe(STANDING, await self.resolve())
        except errors.InvalidRefreshToken:
            return None

    async def claims(self) -> Mapping[str, Any] | None:
        """Return the claims of an access token whose session is live and whose user may act, else None.

        ``Unavailable`` and ``keys_unavailable`` are raised: what cannot be asked is not "no".
        """
        try:
            claims = await self.rt.own_tokens.verify(self.token)
        except TokenError as error:
            if error.code == "keys_unavailable":
                raise
            return None
        return claims.raw if await self._stands(claims.user_id, claims.session_id) else None

    async def revoke(self, client: Client | None) -> bool:
        """End the session behind a refresh token of any generation, or behind an access token.

        False for what is no token of ours, or is over already.
        """
        user_id, session_id = await self._owner()
        if user_id is None or session_id is None:
            return False
        reason = SessionRevokeReason.LOGOUT
        return bool(await Ending(self.rt).of_user(user_id, session_id, reason=reason, client=client))

    def decoded(self) -> RefreshToken:
        """Return what the refresh token says; raises ``InvalidRefreshToken``."""
        found = refresh_token.decode(self.rt.keys.current(), self.rt.config.issuer, self.token)
        if found is None:
            raise errors.InvalidRefreshToken
        return found

    async def _owner(self) -> tuple[str | None, str | None]:
        if self.token.startswith(refresh_token.PREFIX):
            try:
                token = self.decoded()
            except errors.InvalidRefreshToken:
                return None, None
            owner = await self.rt.maybe(OWNER, token.session_id, token.key, self.rt.config.issuer)
            return owner, token.session_id
        try:
            claims = await self.rt.own_tokens.verify(self.token)
        except TokenError as error:
            if error.code == "keys_unavailable":
                raise
            return None, None
        session = identifiers.user_id(claims.session_id or "")
        return identifiers.user_id(claims.user_id), session

    async def _stands(self, user_id: str, session_id: str | None) -> bool:
        if not session_id:
            return (await Tokens(self.rt).enrich(user_id)).allowed
        user, session = identifiers.user_id(user_id), identifiers.user_id(session_id)
        if user is None or session is None:
            return False
        config = self.rt.config
        found = await self.rt.maybe(
            sql.AUTHENTICATE, session, user, config.issuer, config.refresh_idle_duration
        )
        return found is not None and found.allowed and found.live
