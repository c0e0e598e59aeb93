"""Recovery by a user who lost every second factor: start it, cancel it, complete it after the wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from authkit_issuer.domains.recovery.service import Recovery, RecoveryState
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Plain,
    Text,
    with_recovery,
)
from authkit_issuer.http.response_models import OkResponse, TokenResponse
from authkit_issuer.http.route_groups import Routes


class RecoverySignIn(Body):
    """A sign-in that waits for its second factor."""

    user_id: Text
    challenge: Annotated[Text, Field(repr=False)]


class RecoveryCancellation(Body):
    """The token of a notice."""

    token: Annotated[Text, Field(repr=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRecovery:
    """A recovery that is open: when it was started, and from when until when a sign-in completes it."""

    started_at: datetime
    completes_at: datetime
    expires_at: datetime
    ready: bool

    @classmethod
    def of(cls, state: RecoveryState) -> OpenRecovery:
        """Return what the user may see."""
        return cls(
            started_at=state.started_at,
            completes_at=state.completes_at,
            expires_at=state.expires_at,
            ready=state.ready,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryStatus:
    """The open recovery of the account, or null."""

    recovery: OpenRecovery | None


# Per challenge, which only a right first factor has: no other client uses it up.
_BY_CHALLENGE = Limit(
    bucket="auth_recovery", closed=True, account=lambda body: body.challenge, gives_back=True
)
routes = Routes(tag="second factor", offered=with_recovery)


@routes.post(
    "/auth/recovery/start",
    "Ask to sign in without your second factors, which are lost, after a wait",
    tag="login",
    auth=Auth.PUBLIC,
    limit=_BY_CHALLENGE,
    calls=(Recovery.start,),
)
async def start_recovery(call: Call[RecoverySignIn, NoParams]) -> OpenRecovery:
    """Start a recovery with the challenge of a sign-in, or show the one that is open."""
    body = call.body
    return OpenRecovery.of(
        await call.service.recovery.start(body.user_id, body.challenge, client=call.client)
    )


@routes.post(
    "/auth/recovery/complete",
    "Finish a sign-in without your second factors, after the wait",
    tag="login",
    auth=Auth.PUBLIC,
    limit=_BY_CHALLENGE,
    calls=(Recovery.complete,),
    omit_none=True,
)
async def complete_recovery(call: Call[RecoverySignIn, NoParams]) -> TokenResponse:
    """Drop every second factor, and finish the sign-in."""
    body = call.body
    pair = await call.service.recovery.complete(body.user_id, body.challenge, client=call.client)
    return TokenResponse.of(call.cookies.signed_in(pair))


@routes.post(
    "/auth/recovery/cancel",
    "Cancel a recovery by the token of a notice",
    tag="login",
    auth=Auth.PUBLIC,
    limit=Limit(bucket="auth_recovery"),
    calls=(Recovery.cancel_by_token,),
)
async def cancel_recovery(call: Call[RecoveryCancellation, NoParams]) -> OkResponse:
    """Cancel a recovery without signing in."""
    await call.service.recovery.cancel_by_token(call.body.token, client=call.client)
    return OkResponse()


@routes.get(
    "/auth/user/recovery",
    "The open recovery of your account",
    auth=Auth.USER,
    limit=Limit(bucket="auth_user_me"),
)
async def get_recovery(call: Plain) -> RecoveryStatus:
    """Show the open recovery of the caller's account."""
    found = await call.service.recovery.get(call.account.id)
    return RecoveryStatus(recovery=None if found is None else OpenRecovery.of(found))


@routes.delete(
    "/auth/user/recovery",
    "Cancel the recovery of your account",
    auth=Auth.USER,
    limit=Limit(bucket="auth_user_change_cancel", by_user=True),
)
async def cancel_own_recovery(call: Plain) -> OkResponse:
    """Cancel the recovery of the caller's account, if one is open."""
    await call.service.recovery.cancel(call.account.id, client=call.client)
    return OkResponse()
