"""The app's part of external logins: trading their results, linking them, and proving them again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.http import oidc_responses
from authkit_issuer.http.cookies import cookies_of
from authkit_issuer.http.oidc_common import (
    OPENING_ERRORS,
    START_ERRORS,
    STARTING,
    TAG,
    Nonce,
    ReturnTo,
    provider_of,
    with_discord,
    with_providers,
)
from authkit_issuer.http.operations import AnyOperation, Auth, Body, Call, Limit, NoParams, Operation, Text
from authkit_issuer.http.responses import OidcResult

if TYPE_CHECKING:
    from authkit_issuer.domains.login.external.service import Flow
    from authkit_issuer.service import Service


class StartBody(Body):
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


async def link_start(call: Call[StartBody, NoParams]) -> OidcStarted:
    """Begin to link a login to the caller's account."""
    return await _start(call, "link")


async def step_up_start(call: Call[StartBody, NoParams]) -> OidcStarted:
    """Begin to prove a linked login again."""
    return await _start(call, "step_up")


async def trade(call: Call[ResultCode, NoParams]) -> OidcResult:
    """Trade the code of a login that is over."""
    body, cookies = call.body, cookies_of(call.headers)
    opened = await call.service.oidc_login.trade(body.code, cookies, org=body.org, client=call.client)
    oidc_responses.forget(call, opened)
    return oidc_responses.result_of(call, opened)


async def _start(call: Call[StartBody, NoParams], flow: Flow) -> OidcStarted:
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


def _linking(path: str, offered: Callable[[Service], bool]) -> AnyOperation:
    return Operation(
        method="POST",
        path=path,
        summary="Begin to link an external login to your account",
        tag=TAG,
        handler=link_start,
        body=StartBody,
        returns=OidcStarted,
        auth=Auth.USER,
        limit=STARTING,
        offered=offered,
        fresh=True,
        errors=START_ERRORS,
    )


OPERATIONS: tuple[AnyOperation, ...] = (
    _linking("/auth/oidc/{provider}/link/start", with_providers),
    _linking("/auth/oauth/discord/link/start", with_discord),
    Operation(
        method="POST",
        path="/auth/step-up/oidc/{provider}/start",
        summary="Begin to prove a linked external login again",
        tag="step-up",
        handler=step_up_start,
        body=StartBody,
        returns=OidcStarted,
        auth=Auth.USER,
        limit=STARTING,
        offered=with_providers,
        errors=(*START_ERRORS, errors.ProviderNotLinked, errors.TwoFactorRequired),
    ),
    Operation(
        method="POST",
        path="/auth/oidc/result",
        summary="Trade the result of an external login",
        tag=TAG,
        handler=trade,
        body=ResultCode,
        returns=OidcResult,
        auth=Auth.PUBLIC,
        limit=Limit(bucket="auth_oidc_result", closed=True),
        offered=with_providers,
        omit_none=True,
        errors=(
            errors.InvalidOrExpiredCode,
            errors.OrgModeNotMulti,
            errors.InvalidOrgSlug,
            errors.OrgNotFound,
            errors.NotOrgMember,
            *OPENING_ERRORS,
        ),
    ),
)
