"""Refresh sessions: one row each, for life; a refresh token is one generation of its session.

Rotation is a single statement that checks and rotates; of concurrent requests one wins each generation. A
client that presents an earlier generation gets the current one while the successor of its own is unused or
was used within the grace, for three generations in a row at most. Anything else is a replay and ends the
session (RFC 9700 section 4.14.2). ``creation`` opens a session, ``rotation`` decides a refresh, ``grace``
says which replaced tokens still work, and ``revocation`` ends sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.asking_session import require_live
from authkit_issuer.domains.base.devices import Devices, SecondFactor, noting_factor
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.first_factor import UseUp
from authkit_issuer.domains.sessions import introspection, presented_tokens, revocation
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.creation import IssuedSession, NewSession, open_session
from authkit_issuer.domains.sessions.queries import Account, AuthenticatedSession, Grant, Session
from authkit_issuer.domains.sessions.revocation import end_sessions
from authkit_issuer.domains.sessions.rotation import RefreshRequest, rotate
from authkit_issuer.domains.sessions.token_pair import TokenPair, pair
from authkit_issuer.domains.tokens.service import OrgGrant, Tokens
from authkit_issuer.errors.declared import raises
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

__all__ = ["Account", "AuthenticatedSession", "Grant", "IssuedSession", "Session", "Sessions", "TokenPair"]

EVICTED = SessionRevokeReason.EVICTED.value
_PURGE_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSessions:
    """The session that a change of factors or logins comes from, and whether the others end with it."""

    keep: str | None
    end: bool | None
    """None leaves it to ``factor_change_ends_sessions``."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Opens, rotates, introspects, lists and ends sessions."""

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
        """Open a session in one transaction, under the lock of the user's row.

        Beyond ``session_max_per_user`` the least recently used sessions of the user end.

        Args:
            user_id: The user.
            user_agent: The user agent, unless ``client`` says it.
            ip: The address, unless ``client`` says it.
            method: The method of the ``session_created`` event; None records no event.
            auth_epoch: The user's epoch as read with the credential. A password change, ban, deletion or
                sign-out everywhere raises the epoch and makes the proof stale. None if the host itself
                vouches for the user.
            amr: The authentication methods (RFC 8176).
            client: The client, in place of ``user_agent`` and ``ip``.

        Raises:
            UserNotFound: No such user.
            UserBanned: The user may not act.
            InvalidCredentials: The account changed since ``auth_epoch``.
        """
        new = NewSession(
            method=method,
            auth_epoch=auth_epoch,
            amr=amr,
            client=client or Client(ip=ip, user_agent=user_agent),
            is_login=False,
        )
        return await open_session(self.rt, user_id, new)

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
        use_up: UseUp | None = None,
        factor: SecondFactor = "verified",
        authenticated_at: float | None = None,
    ) -> TokenPair:
        """Open a session for a finished login and return its tokens.

        Args:
            user_id: The user.
            method: The method of the ``session_created`` event.
            auth_epoch: The user's epoch as read with the credential.
            amr: The authentication methods (RFC 8176).
            org: The slug of the organization that the access token is to name.
            client: The client that signs in.
            extra: Further claims of the access token.
            use_up: Uses up what the user proved, in the transaction of the session; its error opens none.
            factor: What the device remembers of the second factor, or is to remember from now on.
            authenticated_at: When the user authenticated (Unix seconds); None, and any later moment, is now.

        Raises:
            InvalidCredentials: The account changed since ``auth_epoch``, or was deleted.
            UserBanned: The user may not act.
            MissingSigner: The service has no signing key.
            OrgModeNotMulti, InvalidOrgSlug, OrgNotFound, NotOrgMember: No session was opened, none ended.
        """
        if self.rt.keys.current().signing is None:
            raise errors.MissingSigner
        entitlements = await Entitlements(self.rt).for_token(user_id)
        remember = factor == "verified_and_remembered"
        device = Devices(self.rt).prove(user_id, auth_epoch, client, remember_factor=remember)
        new = NewSession(
            method=method,
            auth_epoch=auth_epoch,
            amr=amr,
            client=client or Client(),
            is_login=True,
            factor_remembered=factor == "remembered",
            authenticated_at=authenticated_at,
            use_up=noting_factor(device, factor, client, use_up),
        )
        try:
            opened, grant = await self._open_for_org(user_id, new, org)
        except errors.UserNotFound as error:
            # The user was deleted for good since the proof, which is now worth as much as a wrong one.
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
            ended_sessions=opened.ended_sessions,
            device=device,
        )

    async def _open_for_org(
        self, user_id: str, new: NewSession, org: str | None
    ) -> tuple[IssuedSession, OrgGrant | None]:
        """Open a session and read an organization's grant in one transaction: no grant, no session."""
        if org is None:
            return await open_session(self.rt, user_id, new), None
        async with self.rt.transaction() as tx:
            return await open_session(tx, user_id, new), await Tokens(tx).org_grant(user_id, org, new.amr)

    @raises(
        errors.InvalidRefreshToken,
        errors.SessionEvicted,
        errors.RefreshTokenReuseDetected,
        errors.UserBanned,
        errors.OrgModeNotMulti,
        errors.InvalidOrgSlug,
        errors.OrgNotFound,
        errors.NotOrgMember,
        errors.TwoFactorRequiredByOrg,
        errors.TwoFactorEnrollmentRequired,
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

        Not inside a transaction: its rollback would undo the ending of a stolen session.

        Args:
            refresh_token: The refresh token.
            user_agent: The user agent, unless ``client`` says it.
            ip: The address, unless ``client`` says it.
            org: The slug of the organization that the access token is to name.
            client: The client, in place of ``user_agent`` and ``ip``.

        Raises:
            InvalidRefreshToken: The token is unknown, or its session has ended.
            SessionEvicted: A newer sign-in ended the session, beyond ``session_max_per_user``.
            RefreshTokenReuseDetected: The token was replayed; its session has ended now.
            UserBanned: The user may not act.
            TwoFactorEnrollmentRequired: ``two_factor_policy`` requires a second factor, and the user has
                none. The token is still good; a sign-in lets the user add one.
            OrgModeNotMulti, InvalidOrgSlug, OrgNotFound, NotOrgMember: The token is still good.
            TwoFactorRequiredByOrg: As the policy, for this organization. The token is still good.
            Unavailable: Storage failed. The same token gives the same successor on the next try.
        """
        self.rt.refuse_joining("sessions.exchange")
        request = RefreshRequest(
            token=presented_tokens.decode_refresh_token(self.rt, refresh_token),
            client=client or Client(ip=ip, user_agent=user_agent),
            org=None if org is None else await Tokens(self.rt).find_org(org),
        )
        if await self._lacks_factor(request.token.session_id):
            raise errors.TwoFactorEnrollmentRequired
        return await rotate(self.rt, request)

    async def _lacks_factor(self, session_id: str) -> bool:
        """True if ``two_factor_policy`` requires a second factor that the user of a session does not have."""
        config = self.rt.config
        if config.two_factor_policy != "required":
            return False
        return bool(
            await self.rt.maybe(sql.LACKS_FACTOR, session_id, sorted(config.two_factor_exempt_methods))
        )

    @raises(errors.InvalidRefreshToken, errors.DatabaseUnavailable)
    async def resolve(self, refresh_token: str) -> str:
        """Return the id of the live session of a refresh token, or raise ``InvalidRefreshToken``.

        A token of any generation names its session and ends nothing: the answer does not show whether the
        session was refreshed since.
        """
        return await presented_tokens.resolve_refresh_token(self.rt, refresh_token)

    def session_id_of(self, refresh_token: str) -> str | None:
        """Return the session that a refresh token names, None for a token of no session here; runs no query.

        The session may be over, and the token replaced: only its MAC is checked.
        """
        return presented_tokens.session_id_of(self.rt, refresh_token)

    @raises(errors.DatabaseUnavailable)
    async def grant_of(self, refresh_token: str) -> Grant | None:
        """Return the live session of a refresh token, None for an invalid or replaced one (RFC 7662)."""
        return await introspection.grant_of_refresh_token(self.rt, refresh_token)

    @raises(errors.DatabaseUnavailable)
    async def claims_of(self, access_token: str) -> Mapping[str, Any] | None:
        """Return the claims of an access token in force, session and user included, else None (RFC 7662).

        Roles are read now. So is the membership that a token of an organization names: the token is not in
        force without it. Entitlements are as in the token.

        Raises:
            Unavailable: Storage failed, so the answer is not "no".
            TokenError: ``keys_unavailable``, for the same reason.
        """
        return await introspection.introspect_access_token(self.rt, access_token)

    @raises(errors.DatabaseUnavailable)
    async def revoke_token(self, token: str, *, client: Client | None = None) -> bool:
        """End the session of a refresh token of any generation, or of an access token (RFC 7009).

        Returns False for a token of another issuer, and if the session is over already.
        """
        return await revocation.revoke_token(self.rt, token, client)

    async def authenticate(self, user_id: str, session_id: str) -> AuthenticatedSession:
        """Return the account and session of an access token's ``sub`` and ``sid``, in one query.

        Raises:
            UserDisabled: The user is banned or deleted.
            SessionEnded: The session is over, or was never this user's. ``metadata.reason`` is ``evicted``
                if a newer sign-in ended it.
        """
        found = await presented_tokens.find_session(self.rt, user_id, session_id)
        if found is None:
            raise errors.SessionEnded
        if not found.allowed:
            raise errors.UserDisabled
        if not found.live:
            raise errors.SessionEnded(metadata={"reason": EVICTED} if found.evicted else None)
        return found

    async def list_for_user(self, user_id: str) -> list[Session]:
        """Return the live sessions of the user, the last used one first, at most 100."""
        canonical_id = identifiers.uuid_or_none(user_id)
        if canonical_id is None:
            return []
        config = self.rt.config
        return await self.rt.all(sql.LIST, canonical_id, config.issuer, config.refresh_idle_duration)

    async def revoke(
        self,
        session_id: str,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.ADMIN_REVOKE,
        actor: str | None = None,
        client: Client | None = None,
    ) -> bool:
        """End a session; False if it is unknown or over already. ``actor`` is the id of the operator."""
        session = identifiers.uuid_or_none(session_id)
        if session is None:
            return False
        return bool(
            await end_sessions(self.rt, sql.END_ONE, session, reason=reason, actor=actor, client=client)
        )

    async def revoke_for_user(
        self,
        user_id: str,
        session_id: str,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.USER_REVOKE,
        actor: str | None = None,
        client: Client | None = None,
    ) -> bool:
        """End a session of this user; False if it is not this user's, or over already."""
        user, session = identifiers.uuid_or_none(user_id), identifiers.uuid_or_none(session_id)
        if user is None or session is None:
            return False
        return bool(
            await end_sessions(
                self.rt, sql.END_OF_USER, session, user, reason=reason, actor=actor, client=client
            )
        )

    async def revoke_all(
        self,
        user_id: str,
        keep_session_id: str | None = None,
        *,
        reason: SessionRevokeReason = SessionRevokeReason.USER_REVOKE_ALL,
        actor: str | None = None,
        client: Client | None = None,
    ) -> int:
        """End every session of the user but ``keep_session_id``, and every login in progress.

        The epoch of the user is raised first, under the row lock: a login that proved its credential before
        opens no session after.

        Returns:
            How many sessions ended, of every issuer.
        """
        user = identifiers.uuid_or_none(user_id)
        if user is None:
            return 0
        keep = identifiers.uuid_or_none(keep_session_id) if keep_session_id else None
        async with self.rt.transaction() as tx:
            await tx.execute(sql.RAISE_EPOCH, user)
            ended = await end_sessions(tx, sql.END_ALL, user, keep, reason=reason, actor=actor, client=client)
            return len(ended)

    async def end_others(self, user_id: str, others: OtherSessions, *, client: Client | None) -> None:
        """End the other sessions after a change of factors or logins, if that is wished for.

        The caller holds the lock of the user's row. Raises ``SessionEnded`` if the session that the change
        comes from has ended meanwhile.
        """
        await require_live(self.rt, user_id, others.keep)
        wished = others.end
        if self.rt.config.factor_change_ends_sessions if wished is None else wished:
            await self.revoke_all(
                user_id, others.keep, reason=SessionRevokeReason.FACTOR_CHANGE, client=client
            )

    async def purge(self) -> int:
        """Delete sessions that have been over for ``session_retention`` seconds; returns how many."""
        return await self.rt.purge(
            sql.PURGE,
            self.rt.config.session_retention,
            self.rt.config.refresh_idle_duration,
            batch=_PURGE_BATCH,
        )
