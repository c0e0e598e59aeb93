"""The browser's part of external logins.

The start and the callback are the two kinds of GET that change something: a browser on its way sends nothing
else. Both are bound to the browser by a cookie of the login.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from authkit_issuer import errors
from authkit_issuer.domains.login.external.service import CallbackParameters
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
from authkit_issuer.http.operations import (
    Answer,
    AnyOperation,
    Auth,
    Body,
    Call,
    Limit,
    NoBody,
    NoParams,
    Operation,
    Params,
)
from authkit_issuer.http.responses import OidcResult

if TYPE_CHECKING:
    from authkit_issuer.service import Service


class Start(Params):
    """How the browser is to come back."""

    ui: Literal["popup"] | None = None
    popup_nonce: Nonce = None
    return_to: ReturnTo = None


class Callback(Params):
    """What a provider sends the browser back with."""

    state: str = ""
    code: Annotated[str, Field(repr=False)] = ""
    error: str = ""
    iss: Annotated[str | None, Field(description="The issuer that answers (RFC 9207)")] = None
    format: Annotated[
        Literal["json"] | None, Field(description="Answer the result itself, to a program that asks")
    ] = None


class FormCallback(Body):
    """What a provider answers by a form on its own page."""

    model_config = ConfigDict(extra="ignore")

    state: str = ""
    code: Annotated[str, Field(repr=False)] = ""
    error: str = ""
    iss: str | None = None
    user: Annotated[str, Field(repr=False, description="Apple's word on a name, at the first login")] = ""


async def login(call: Call[NoBody, Start]) -> Answer | OidcResult:
    """Send the browser to the provider; who cannot be sent lands in the app with the reason."""
    return await _send(call)


async def callback(call: Call[NoBody, Callback]) -> Answer | OidcResult:
    """Take the browser back."""
    given = call.params
    back = CallbackParameters(
        state=given.state,
        code=given.code,
        error=given.error,
        iss=given.iss,
        cookies=cookies_of(call.headers),
    )
    return await _land(call, back)


async def form_callback(call: Call[FormCallback, NoParams]) -> Answer | OidcResult:
    """Take the browser back with a form."""
    form = call.body.model_dump()
    return await _land(call, CallbackParameters(**form, cookies=cookies_of(call.headers)), status=303)


async def _send(call: Call[NoBody, Start]) -> Answer | OidcResult:
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


async def _land(call: Call[Any, Any], back: CallbackParameters, *, status: int = 302) -> Answer | OidcResult:
    landing = await call.service.oidc_login.finish(
        provider_of(call),
        back,
        directly=oidc_responses.wants_json(call),
        origin=oidc_responses.origin_of(call),
        client=call.client,
    )
    return oidc_responses.land(call, landing, status=status)


_RETURNING = Limit(bucket="auth_oidc_callback")
_RETURN_ERRORS = (
    errors.UnknownProvider,
    errors.NotConfigured,
    errors.InvalidState,
    errors.ProviderDenied,
    errors.ProviderRefused,
    errors.ProviderUnavailable,
    errors.AccountExistsLinkRequired,
    errors.ProviderAlreadyLinked,
    errors.ProviderNotLinked,
    errors.UsernameInUse,
    errors.Conflict,
    *OPENING_ERRORS,
)


def _login(path: str, offered: Callable[[Service], bool]) -> AnyOperation:
    return Operation(
        method="GET",
        path=path,
        summary="Sign in with an external provider",
        tag=TAG,
        handler=login,
        params=Start,
        returns=OidcResult,
        auth=Auth.PUBLIC,
        limit=STARTING,
        offered=offered,
        redirect=302,
        omit_none=True,
        errors=START_ERRORS,
        media_types=("text/html",),
    )


def _callback(path: str, offered: Callable[[Service], bool]) -> AnyOperation:
    return Operation(
        method="GET",
        path=path,
        summary="Come back from an external provider",
        tag=TAG,
        handler=callback,
        params=Callback,
        returns=OidcResult,
        auth=Auth.PUBLIC,
        limit=_RETURNING,
        offered=offered,
        redirect=302,
        omit_none=True,
        errors=_RETURN_ERRORS,
        media_types=("application/json", "text/html"),
    )


OPERATIONS: tuple[AnyOperation, ...] = (
    _login("/auth/oidc/{provider}/login", with_providers),
    _login("/auth/oauth/discord/login", with_discord),
    _callback("/auth/oidc/{provider}/callback", with_providers),
    _callback("/auth/oauth/discord/callback", with_discord),
    Operation(
        method="POST",
        path="/auth/oidc/{provider}/callback",
        summary="Come back from a provider that answers by a form",
        tag=TAG,
        handler=form_callback,
        body=FormCallback,
        returns=OidcResult,
        auth=Auth.PUBLIC,
        limit=_RETURNING,
        offered=with_providers,
        form=True,
        redirect=303,
        omit_none=True,
        errors=_RETURN_ERRORS,
        media_types=("application/json", "text/html"),
    ),
)
