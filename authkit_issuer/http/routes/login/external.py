"""The browser's part of external logins.

The start and the callback are the two kinds of GET that change something: a browser on its way sends nothing
else. Both are bound to the browser by a cookie of the login.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from authkit_issuer import errors
from authkit_issuer.domains.login.external.service import CallbackParameters, OidcLogin
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
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Params,
)
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.response_models import OidcResult
from authkit_issuer.http.route_groups import Routes


class ExternalStartParams(Params):
    """How the browser is to come back."""

    ui: Literal["popup"] | None = None
    popup_nonce: Nonce = None
    return_to: ReturnTo = None


class CallbackParams(Params):
    """What a provider sends the browser back with."""

    state: str = ""
    code: Annotated[str, Field(repr=False)] = ""
    error: str = ""
    error_description: str = ""
    iss: Annotated[str | None, Field(description="The issuer that answers (RFC 9207)")] = None
    format: Annotated[
        Literal["json"] | None, Field(description="Return the result as JSON, to a program")
    ] = None


class CallbackForm(Body):
    """What a provider answers by a form on its own page."""

    model_config = ConfigDict(extra="ignore")

    state: str = ""
    code: Annotated[str, Field(repr=False)] = ""
    error: str = ""
    error_description: str = ""
    iss: str | None = None
    user: Annotated[str, Field(repr=False, description="Apple's word on a name, at the first login")] = ""


routes = Routes(
    tag="external logins",
    auth=Auth.PUBLIC,
    limit=Limit(bucket="auth_oidc_callback"),
    calls=(OidcLogin.finish,),
    omit_none=True,
    redirect=302,
    media_types=("application/json", "text/html"),
)


@routes.get(
    "/auth/oauth/discord/login",
    "Sign in with an external provider",
    name="startDiscordLogin",
    offered=with_discord,
    limit=STARTING,
    calls=(OidcLogin.begin,),
    media_types=("text/html",),
)
@routes.get(
    "/auth/oidc/{provider}/login",
    "Sign in with an external provider",
    offered=with_providers,
    limit=STARTING,
    calls=(OidcLogin.begin,),
    media_types=("text/html",),
)
async def start_external_login(call: Call[NoBody, ExternalStartParams]) -> RawResponse | OidcResult:
    """Send the browser to the provider; who cannot be sent lands in the app with the reason."""
    return await _send(call)


@routes.get(
    "/auth/oauth/discord/callback",
    "Come back from an external provider",
    name="finishDiscordLogin",
    offered=with_discord,
)
@routes.get(
    "/auth/oidc/{provider}/callback",
    "Come back from an external provider",
    offered=with_providers,
)
async def finish_external_login(call: Call[NoBody, CallbackParams]) -> RawResponse | OidcResult:
    """Take the browser back."""
    given = call.params
    back = CallbackParameters(
        state=given.state,
        code=given.code,
        error=given.error,
        error_description=given.error_description,
        iss=given.iss,
        cookies=cookies_of(call.headers),
    )
    return await _land(call, back)


@routes.post(
    "/auth/oidc/{provider}/callback",
    "Come back from a provider that answers by a form",
    offered=with_providers,
    form=True,
    redirect=303,
)
async def finish_external_login_form(call: Call[CallbackForm, NoParams]) -> RawResponse | OidcResult:
    """Take the browser back with a form."""
    form = call.body.model_dump()
    return await _land(call, CallbackParameters(**form, cookies=cookies_of(call.headers)), status=303)


async def _send(call: Call[NoBody, ExternalStartParams]) -> RawResponse | OidcResult:
    provider, wish, origin = provider_of(call), call.params, oidc_responses.origin_of(call)
    flows = call.service.oidc_login
    try:
        begun = await flows.begin(provider, origin=origin, **wish.model_dump())
    except errors.Unavailable as refusal:
        lost = flows.unbound_result(
            provider, origin=origin, popup=bool(wish.ui), nonce=wish.popup_nonce or ""
        )
        return oidc_responses.land(call, lost.refused(refusal))
    oidc_responses.keep(call, begun)
    return oidc_responses.send_to(begun.auth_url)


async def _land(
    call: Call[Any, Any], back: CallbackParameters, *, status: int = 302
) -> RawResponse | OidcResult:
    landing = await call.service.oidc_login.finish(
        provider_of(call),
        back,
        directly=oidc_responses.wants_json(call),
        origin=oidc_responses.origin_of(call),
        client=call.client,
    )
    return oidc_responses.land(call, landing, status=status)
