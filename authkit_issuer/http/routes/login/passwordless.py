"""Signing in by a message, without a password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.login.passwordless.service import Passwordless, PasswordlessLogin
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    ContactName,
    Limit,
    NoParams,
    Text,
    with_passwordless,
)
from authkit_issuer.http.route_groups import Routes


class PasswordlessStart(Body):
    """Who signs in, and how the app goes on."""

    identifier: ContactName
    org: Annotated[Text | None, Field(description="The organization the access token is for")] = None
    return_to: Annotated[
        str | None, Field(description="A path of the app, which comes back with the tokens")
    ] = None


class PasswordlessConfirmation(Body):
    """The flow with the code of its message, or the token of a link.

    A token counts only with the `flow_id`, or the cookie, of the browser that began.
    """

    flow_id: Annotated[Text | None, Field(repr=False, description="What the start answered")] = None
    code: Annotated[Text | None, Field(repr=False)] = None
    token: Annotated[Text | None, Field(repr=False)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordlessStarted:
    """A message is on its way if the address or number can get one; the answer does not tell.

    The `flow_id` belongs to this browser, for `expires_in` seconds: the code or link of the message counts
    only together with it.
    """

    flow_id: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordlessTokens:
    """A login; `created` is true for a new account, `return_to` is what began it."""

    access_token: str = field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str = field(repr=False)
    ended_sessions: list[str] | None = None
    created: bool
    return_to: str | None = None

    @classmethod
    def of(cls, login: PasswordlessLogin) -> PasswordlessTokens:
        """Return the response for a login."""
        return cls(
            access_token=login.access_token,
            expires_in=login.expires_in,
            refresh_token=login.refresh_token,
            ended_sessions=[*login.ended_sessions] or None,
            created=login.created,
            return_to=login.return_to or None,
        )


routes = Routes(tag="login", auth=Auth.PUBLIC, offered=with_passwordless)


@routes.post(
    "/auth/passwordless/start",
    "Ask for a message that signs in",
    # Not per account: other clients would use that up, and what is sent to an account has its own limits.
    limit=Limit(bucket="auth_passwordless_start", texts="auth_sms_request", closed=True),
    status=202,
    calls=(Passwordless.start,),
)
async def start_passwordless(call: Call[PasswordlessStart, NoParams]) -> PasswordlessStarted:
    """Send a code, and a link where those are on, to an address or number."""
    body = call.body
    flow = await call.service.passwordless.start(
        body.identifier, org=body.org, return_to=body.return_to, client=call.client
    )
    call.cookies.begin_flow(flow.flow_id)
    return PasswordlessStarted(flow_id=flow.flow_id, expires_in=flow.expires_in)


@routes.post(
    "/auth/passwordless/confirm",
    "Sign in by the code or the link of a message",
    limit=Limit(
        bucket="auth_passwordless_confirm",
        closed=True,
        # Tries count per flow, whose id only its own client has: no client uses up the tries of another.
        account=lambda body: body.flow_id or "",
        gives_back=True,
    ),
    calls=(Passwordless.confirm_code, Passwordless.confirm_link),
    errors=(errors.Invalid,),
    omit_none=True,
)
async def confirm_passwordless(call: Call[PasswordlessConfirmation, NoParams]) -> PasswordlessTokens:
    """Sign in by a code, or by the token of a link in the browser that began."""
    login = await _confirm(call)
    call.cookies.end_flow()
    return PasswordlessTokens.of(call.cookies.signed_in(login))


async def _confirm(call: Call[PasswordlessConfirmation, NoParams]) -> PasswordlessLogin:
    body, passwordless = call.body, call.service.passwordless
    if (body.code is None) == (body.token is None):
        raise errors.Invalid("Send a code or the token of a link, and not both.", param="code")
    if body.token is not None:
        flow_ids = call.cookies.flow_ids(body.flow_id)
        return await passwordless.confirm_link(body.token, flow_ids=flow_ids, client=call.client)
    if not body.flow_id:
        raise errors.Invalid("A code counts only with the flow_id of its start.", param="flow_id")
    return await passwordless.confirm_code(body.flow_id, body.code or "", client=call.client)
