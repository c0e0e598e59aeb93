"""A user's own sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.event_types import SessionRevokeReason
from authkit_issuer.http.errors import StepUpRequired
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Params,
    Plain,
    Text,
)
from authkit_issuer.http.recent_auth import require_recent_auth
from authkit_issuer.http.response_models import OkResponse
from authkit_issuer.http.route_groups import Routes
from authkit_verify import bearer_token

if TYPE_CHECKING:
    from authkit_issuer.domains.sessions.service import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession:
    """One live session; ``current`` marks the one that asks."""

    session_id: str
    family_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime | None
    ip: str | None
    ua: str | None
    current: bool

    @classmethod
    def of(cls, session: Session, current_id: str) -> OwnSession:
        """Return the session as its user may see it."""
        return cls(
            session_id=session.id,
            family_id=session.family_id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            ip=session.ip,
            ua=session.user_agent,
            current=session.id == current_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSessions:
    """The live sessions, the last used one first."""

    data: list[OwnSession]


class LogoutRequest(Body):
    """Which session ends where no access token says so."""

    refresh_token: Annotated[
        Text | None,
        Field(repr=False, description="Needed only without an access token and without its cookie"),
    ] = None


class RevocationParams(Params):
    """Which sessions stay."""

    keep_current: Annotated[
        bool, Field(description="Leave the session that asks signed in, after a recent authentication")
    ] = False


routes = Routes(tag="sessions", auth=Auth.USER)


@routes.post(
    "/auth/logout",
    "Sign out, by whichever token is left",
    name="signOut",
    limit=Limit(bucket="auth_logout"),
    calls=(Sessions.revoke_token,),
    signs_out=True,
    or_refresh_token=True,
)
@routes.delete(
    "/auth/logout",
    "Sign out: end the session that asks",
    limit=Limit(bucket="auth_logout"),
    calls=(Sessions.revoke_token,),
    signs_out=True,
    or_refresh_token=True,
)
async def logout(call: Call[LogoutRequest, NoParams]) -> OkResponse:
    """End the session of the access token, or that of a refresh token where the access token has ended."""
    await call.service.sessions.revoke_token(_token_of_session(call), client=call.client)
    return OkResponse()


def _token_of_session(call: Call[LogoutRequest, NoParams]) -> str:
    admitted = bearer_token(call.header(b"authorization").encode("latin-1")) if call.caller else None
    return admitted or call.cookies.refresh_token(call.body.refresh_token)


@routes.get("/auth/user/sessions", "List your live sessions", limit=Limit(bucket="auth_sessions_list"))
async def list_sessions(call: Plain) -> OwnSessions:
    """List the live sessions of the caller."""
    account = call.account
    found = await call.service.sessions.list_for_user(account.id)
    return OwnSessions(data=[OwnSession.of(session, account.session_id) for session in found])


@routes.delete(
    "/auth/user/sessions/{session_id}",
    "End one of your sessions",
    limit=Limit(bucket="auth_sessions_revoke"),
    errors=(errors.SessionNotFound,),
)
async def revoke_session(call: Plain) -> OkResponse:
    """End one session of the caller."""
    session_id, account = call.path["session_id"], call.account
    if not await call.service.sessions.revoke_for_user(
        account.id, session_id, reason=SessionRevokeReason.USER_REVOKE, client=call.client
    ):
        raise errors.SessionNotFound
    if session_id.lower() == account.session_id:
        call.cookies.signed_out()
    return OkResponse()


@routes.delete(
    "/auth/user/sessions",
    "Sign out everywhere",
    limit=Limit(bucket="auth_sessions_revoke_all"),
    errors=(StepUpRequired,),
)
async def revoke_sessions(call: Call[NoBody, RevocationParams]) -> OkResponse:
    """End every session of the caller."""
    account = call.account
    keep = account.session_id if call.params.keep_current else None
    if keep:
        # Every call voids the sign-ins and resets that wait: a thief whose session stays could repeat it.
        await require_recent_auth(call.service, account)
    await call.service.sessions.revoke_all(
        account.id, keep, reason=SessionRevokeReason.USER_REVOKE_ALL, client=call.client
    )
    if keep is None:
        call.cookies.signed_out()
    return OkResponse()
