"""The app's part of external logins: trading their results, linking them, and proving them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.login.external.service import OidcLogin
from authkit_issuer.http import oidc_responses
from authkit_issuer.http.cookies import cookies_of
from authkit_issuer.http.oidc_common import (
    STARTING,
    Nonce,
    ReturnTo,
    provider_of,
    with_discord,
    with_providers,
)
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Text
from authkit_issuer.http.response_models import OidcResult
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.domains.login.external.service import Flow


class ExternalStart(Body):
    """How the browser is to come back."""

    ui: Literal["popup"] | None = None
    popup_nonce: Nonce = None
    return_to: ReturnTo = None


class ResultCode(Body):
    """The code from the fragment or the popup's message."""

    code: Annotated[Text, Field(repr=False)]
    org: Annotated[Text | None, Field(description="The organization a login's access token is for")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcStarted:
    """Where to send the browser, which has a cookie of this login now."""

    auth_url: str
    state: str


routes = Routes(tag="external logins", auth=Auth.USER, limit=STARTING)


@routes.post(
    "/auth/oauth/discord/link/start",
    "Begin to link an external login to your account",
    name="startDiscordLink",
    offered=with_discord,
    fresh=True,
    calls=(OidcLogin.begin,),
)
@routes.post(
    "/auth/oidc/{provider}/link/start",
    "Begin to link an external login to your account",
    offered=with_providers,
    fresh=True,
    calls=(OidcLogin.begin,),
)
async def start_external_link(call: Call[ExternalStart, NoParams]) -> OidcStarted:
    """Begin to link a login to the caller's account."""
    return await _start(call, "link")


@routes.post(
    "/auth/step-up/oidc/{provider}/start",
    "Begin to prove a linked external login again",
    tag="step-up",
    offered=with_providers,
    calls=(OidcLogin.begin,),
    errors=(errors.ProviderNotLinked, errors.TwoFactorRequired),
)
async def start_external_step_up(call: Call[ExternalStart, NoParams]) -> OidcStarted:
    """Begin to prove a linked login again."""
    return await _start(call, "step_up")


@routes.post(
    "/auth/oidc/result",
    "Trade the result of an external login",
    auth=Auth.PUBLIC,
    offered=with_providers,
    limit=Limit(bucket="auth_oidc_result", closed=True),
    calls=(OidcLogin.trade,),
    omit_none=True,
)
async def redeem_external_result(call: Call[ResultCode, NoParams]) -> OidcResult:
    """Trade the code of a login that is over."""
    body, cookies = call.body, cookies_of(call.headers)
    opened = await call.service.oidc_login.trade(body.code, cookies, org=body.org, client=call.client)
    oidc_responses.forget(call, opened)
    return oidc_responses.result_of(call, opened)


async def _start(call: Call[ExternalStart, NoParams], flow: Flow) -> OidcStarted:
    account = call.account
    begun = await call.service.oidc_login.begin(
        provider_of(call),
        flow=flow,
        user_id=account.id,
        session_id=account.session_id,
        origin=oidc_responses.origin_of(call),
        **call.body.model_dump(),
    )
    oidc_responses.keep(call, begun)
    return OidcStarted(auth_url=begun.auth_url, state=begun.state)
