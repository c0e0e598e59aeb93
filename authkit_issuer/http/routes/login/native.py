"""External logins of native apps, which present an ID token in place of a browser's callback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from authkit_issuer.domains.login.external.service import OidcLogin
from authkit_issuer.http import oidc_responses
from authkit_issuer.http.oidc_common import STARTING, provider_of, with_native_apps
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoBody, NoParams, Plain, Text
from authkit_issuer.http.response_models import OidcResult
from authkit_issuer.http.route_groups import Routes

if TYPE_CHECKING:
    from authkit_issuer.domains.login.external.service import NativeLogin


class PresentedIdToken(Body):
    """The id of the login, and the ID token from the provider's SDK."""

    login_id: Annotated[Text, Field(repr=False)]
    id_token: Annotated[Text, Field(repr=False)]
    org: Annotated[Text | None, Field(description="The organization a login's access token is for")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeStarted:
    """The nonce is for the provider's SDK, as it is; ``login_id`` is kept in the app."""

    login_id: str = field(repr=False)
    nonce: str
    expires_in: int

    @classmethod
    def of(cls, begun: NativeLogin) -> NativeStarted:
        """Return the answer to the app that began the login."""
        return cls(login_id=begun.login_id, nonce=begun.nonce, expires_in=begun.expires_in)


routes = Routes(tag="external logins", offered=with_native_apps)


@routes.post(
    "/auth/oidc/{provider}/native/start",
    "Begin to sign in with an ID token, in a native app",
    auth=Auth.PUBLIC,
    limit=STARTING,
    calls=(OidcLogin.begin_native,),
)
async def start_native_login(call: Plain) -> NativeStarted:
    """Begin a login of a native app."""
    return NativeStarted.of(await call.service.oidc_login.begin_native(provider_of(call)))


@routes.post(
    "/auth/oidc/{provider}/link/native/start",
    "Begin to link an external login to your account, in a native app",
    auth=Auth.USER,
    limit=STARTING,
    fresh=True,
    calls=(OidcLogin.begin_native,),
)
async def start_native_link(call: Call[NoBody, NoParams]) -> NativeStarted:
    """Begin to link a login to the caller's account."""
    account = call.account
    begun = await call.service.oidc_login.begin_native(
        provider_of(call), flow="link", user_id=account.id, session_id=account.session_id
    )
    return NativeStarted.of(begun)


@routes.post(
    "/auth/oidc/{provider}/native",
    "Sign in, or link, with an ID token of a native app",
    auth=Auth.PUBLIC,
    limit=Limit(bucket="auth_oidc_result", closed=True),
    calls=(OidcLogin.finish_native,),
    omit_none=True,
)
async def finish_native_login(call: Call[PresentedIdToken, NoParams]) -> OidcResult:
    """Take the ID token of a login that a native app began."""
    body = call.body
    opened = await call.service.oidc_login.finish_native(
        provider_of(call), body.login_id, body.id_token, org=body.org, client=call.client
    )
    return oidc_responses.result_of(call, opened)
