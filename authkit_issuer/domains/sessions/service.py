"""Refresh sessions: one row each, for life; a refresh token is one generation of its session.

Rotation is a single statement that gates and rotates; it has exactly one winner per generation. Whoever comes
with an earlier generation within the grace window is given the same successor. Anything older is a replay and
ends the session (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.devices import Devices, Factor
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.creation import IssuedSession, Opening
from authkit_issuer.domains.sessions.introspection import Grant, Presented
from authkit_issuer.domains.sessions.revocation import Ending
from authkit_issuer.domains.sessions.rotation import Exchange
from authkit_issuer.domains.sessions.rows import Account, Session, Standing
from authkit_issuer.domains.sessions.token_pair import TokenPair, pair
from authkit_issuer.domains.tokens.service import Tokens
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["Account", "Grant", "IssuedSession", "Session", "Sessions", "Standing", "TokenPair"]

_PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens, rotates, lists and ends sessions."""

    rt: Runtime

    async def issue(
        self,
        user_id: str,
        user_agent: str | None = None,
        ip: str | None = None,
        *,
        method: str | None = None,
        auth_epoch: int | None = None,
        amr: Sequence[str] = (),
        client: Client | None = None,
    ) -> IssuedSession:
        """Open a session; beyond the limit the least recently used ones of the user end.

        ``auth_epoch`` is the user's epoch as read with the credential: when a password change, ban, deletion
        or sign-out-everywhere has raised it since, the proof is stale and ``InvalidCredentials`` is raised. A
        host that vouches for the user itself leaves it out. ``method`` records a ``session_created`` event.
        Raises ``UserNotFound``, ``UserBanned``. One transaction under the lock of the user's row.
        """
        opening = Opening(
            rt=self.rt,
            user_id=user_id,
            method=method,
            auth_epoch=auth_epoch,
            amr=amr,
            client=client or Client(ip=ip, user_agent=user_agent),
            signs_in=False,
        )
        return await opening.run()

    async def sign_in(
        self,
        user_id: str,
        *,
        method: str,
        auth_epoch: int,
        amr: Sequence[str],
        org: str | None = None,
        client: Client | None = None,
        extra: Mapping[str, object] | None = None,
        entitlements: list[str] | None = None,
        factor: Factor = "asked",
    ) -> TokenPair:
        """Open a session for a finished login and return its tokens, for an organization if one is named.

        ``factor`` tells what the device remembers of the second one, or is to remember from now on. A caller
        that holds a transaction asks for the ``entitlements`` before it begins. Raises as ``issue``
        does, but ``InvalidCredentials`` for a user who is gone; the errors of ``tokens.issue_org_access``,
        and then nothing is opened and nothing ended.
        """
        if self.rt.keys.current().signing is None:
            raise errors.MissingSigner
        if entitlements is None:
            entitlements = await Entitlements(self.rt).for_token(user_id)
        opening = Opening(
            rt=self.rt,
            user_id=user_id,
            method=method,
            auth_epoch=auth_epoch,
            amr=amr,
            client=client or Client(),
            signs_in=True,
            spared=factor == "spared",
        )
        try:
            opened, grant = (await opening.run(), None) if org is None else await opening.run_for(org)
        except errors.UserNotFound as error:
            # Deleted for good since the proof: the proof is worth as much as any wrong one.
            raise errors.InvalidCredentials from error
        access = Tokens(self.rt).mint(
            opened.facts,
            entitlements,
            session_id=opened.session_id,
            auth_time=opened.auth_time,
            amr=amr,
            not_after=opened.expires_at,
            extra=extra,
            org=grant,
        )
        return pair(
            self.rt,
            access,
            opened.refresh_token,
            session_id=opened.session_id,
            user_id=opened.facts.user_id,
            device=Devices(self.rt).prove(
                opened.facts.user_id, auth_epoch, client, remember_factor=factor == "remember"
            ),
        )

    @raises(
        errors.InvalidRefreshToken,
        errors.RefreshTokenReuseDetected,
        errors.UserBanned,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.MissingSigner,
        errors.DatabaseUnavailable,
    )
    async def exchange(
        self,
        refresh_token: str,
        user_agent: str | None = None,
        ip: str | None = None,
        *,
        org: str | None = None,
        client: Client | None = None,
    ) -> TokenPair:
        """Trade a refresh token for its successor and a fresh access token.

        Raises ``InvalidRefreshToken``; ``RefreshTokenReuseDetected`` after ending the session of a replayed
        token; ``UserBanned``; ``OrgModeNotMulti``, ``InvalidOrgSlug``, ``OrgNotFound`` and ``NotOrgMember``
        with the token still good. A storage failure is ``Unavailable``: asking again with the same token
        gives the same successor. Not inside a transaction, whose rollback would undo the ending of a stolen
        session.
        """
        self.rt.refuse_joining("sessions.exchange")
        token = Presented(rt=self.rt, token=refresh_token).decoded()
        wanted = None if org is None else await Tokens(self.rt).find_org(org)
        who = client or Client(ip=ip, user_agent=user_agent)
        return await Exchange(rt=self.rt, token=token, client=who, org=wanted).run()

    @raises(errors.InvalidRefreshToken, errors.DatabaseUnavailable)
    async def resolve(self, refresh_token: str) -> str:
        """Return the id of the live session this token stands for, or raise ``InvalidRefreshToken``.

        A token that was already rotated is invalid here too and ends nothing.
        """
        return await Presented(rt=self.rt, token=refresh_token).resolve()

    @raises(errors.DatabaseUnavailable)
    async def grant_of(self, refresh_token: str) -> Grant | None:
        """Return what a refresh token opens now, None when that is nothing (RFC 7662)."""
        return await Presented(rt=self.rt, token=refresh_token).grant()

    @raises(errors.DatabaseUnavailable)
    async def claims_of(self, access_token: str) -> Mapping[str, Any] | None:
        """Return the claims of an access token that still counts, session and user included, else None."""
        return await Presented(rt=self.rt, token=access_token).claims()

    @raises(errors.DatabaseUnavailable)
    async def revoke_token(self, token: str, *, client: Client | None = None) -> bool:
        """End the session behind a token of either kind and any age; False when nothing ended (RFC 7009)."""
        return await Presented(rt=self.rt, token=token).revoke(client)

    async def authenticate(self, user_id: str, session_id: str) -> Standing:
        """Return the account behind an access token's ``sub`` and ``sid``, asking the database once.

        Raises ``UserDisabled`` for a banned or deleted user and ``SessionEnded`` for a session that is over
        or was never there.
        """
        user, session = identifiers.user_id(user_id), identifiers.user_id(session_id)
        found = (
            await self.rt.maybe(
                sql.AUTHENTICATE,
                session,
                user,
                self.rt.config.issuer,
                self.rt.config.refresh_idle_duration,
            )
            if user and session
            else None
        )
        if found is None:
            raise errors.SessionEnded
        if not found.allowed:
            raise errors.UserDisabled
        if not found.live:
            raise errors.SessionEnded
        return found

    async def list_for_user(self, user_id: str) -> list[Session]:
        """Return the live sessions, the last used one first, at most 100."""
        known = identifiers.user_id(user_id)
        if known is None:
            return []
        config = self.rt.config
        return await self.rt.all(sql.LIST, known, config.issuer, config.refresh_idle_duration)

    async def revoke(
        self,
        session_id: str,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.ADMIN_REVOKE,
        client: Client | None = None,
    ) -> bool:
        """End a session; False when there was nothing to end."""
        known = identifiers.user_id(session_id)
        return known is not None and bool(await Ending(self.rt).one(known, reason=reason, client=client))

    async def revoke_for_user(
        self,
        user_id: str,
        session_id: str,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.USER_REVOKE,
        client: Client | None = None,
    ) -> bool:
        """End a session if it is this user's; False when it is not, or is over already."""
        user, session = identifiers.user_id(user_id), identifiers.user_id(session_id)
        if user is None or session is None:
            return False
        return bool(await Ending(self.rt).of_user(user, session, reason=reason, client=client))

    async def revoke_all(
        self,
        user_id: str,
        keep_session_id: str | None = None,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.USER_REVOKE_ALL,
        client: Client | None = None,
    ) -> int:
        """End every session of the user but ``keep_session_id``, and every login that is under way.

        Returns how many ended. The user's epoch moves first, under the row lock: a sign-in that proved itself
        before cannot open a session after.
        """
        known = identifiers.user_id(user_id)
        if known is None:
            return 0
        keep = identifiers.user_id(keep_session_id) if keep_session_id else None
        async with self.rt.transaction() as tx:
            await tx.execute(sql.RAISE_EPOCH, known)
            return len(await Ending(tx).all_of(known, keep, reason=reason, client=client))

    async def purge(self) -> int:
        """Delete sessions that have been over for the retention time, in batches; returns how many."""
        total = 0
        while True:
            gone = await self.rt.one(
                sql.PURGE,
                self.rt.config.session_retention,
                _PURGE_BATCH,
                self.rt.config.refresh_idle_duration,
            )
            total += gone
            if gone < _PURGE_BATCH:
                return total
