"""Signing in, and authenticating again, with a passkey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from authkit_issuer.domains.passkeys.logins import PasskeyLogins
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Plain, Text, with_passkeys
from authkit_issuer.http.passkey_models import PasskeyProof
from authkit_issuer.http.response_models import AccessTokenResponse, TokenResponse
from authkit_issuer.http.route_groups import Routes


class PasskeyLoginBegin(Body):
    """Nothing is needed: the authenticator knows its accounts."""

    identifier: Annotated[Text | None, Field(description="Of no effect, so that no account shows")] = None


class PasskeyLogin(PasskeyProof):
    """A response to the options of a sign-in."""

    org: Annotated[Text | None, Field(description="The organization the access token is for")] = None


class PasskeySecondFactorBegin(Body):
    """A sign-in that waits for its second factor."""

    user_id: Text
    challenge: Annotated[Text, Field(repr=False)]


class PasskeySecondFactor(PasskeyProof):
    """A response to the options, for a sign-in that waits for its second factor."""

    user_id: Text
    challenge: Annotated[Text, Field(repr=False)]
    remember_device: Annotated[
        bool, Field(description="Ask for no second factor here for a while, where this service allows that")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyRequest:
    """The options of ``navigator.credentials.get``, for ``parseRequestOptionsFromJSON``."""

    options: dict[str, Any]


_STEPPING_UP = Limit(bucket="auth_step_up", by_user=True, closed=True, gives_back=True)
routes = Routes(tag="passkeys", auth=Auth.PUBLIC, offered=with_passkeys)


@routes.post(
    "/auth/passkeys/login/begin",
    "The options of a sign-in with a passkey",
    limit=Limit(bucket="auth_passkey_begin", closed=True),
    calls=(PasskeyLogins.begin_login,),
)
async def begin_passkey_login(call: Call[PasskeyLoginBegin, NoParams]) -> PasskeyRequest:
    """Issue a challenge that names no account."""
    return PasskeyRequest(options=await call.service.passkey_logins.begin_login())


@routes.post(
    "/auth/passkeys/login/finish",
    "Sign in with a passkey",
    limit=Limit(bucket="auth_passkey_login", closed=True, gives_back=True),
    calls=(PasskeyLogins.finish_login,),
    omit_none=True,
)
async def finish_passkey_login(call: Call[PasskeyLogin, NoParams]) -> TokenResponse:
    """Sign in with a passkey."""
    body = call.body
    pair = await call.service.passkey_logins.finish_login(
        body.credential.model_dump(), org=body.org, client=call.client
    )
    return TokenResponse.of(call.cookies.signed_in(pair))


@routes.post(
    "/auth/2fa/passkey/begin",
    "The options of a passkey that is the second factor of a sign-in",
    tag="login",
    limit=Limit(bucket="auth_2fa_challenge", closed=True, account=lambda body: body.challenge),
    calls=(PasskeyLogins.begin_second_factor,),
)
async def begin_passkey_second_factor(call: Call[PasskeySecondFactorBegin, NoParams]) -> PasskeyRequest:
    """Issue a challenge for the passkeys of a user whose first factor was right."""
    body = call.body
    options = await call.service.passkey_logins.begin_second_factor(body.user_id, body.challenge)
    return PasskeyRequest(options=options)


@routes.post(
    "/auth/2fa/passkey/finish",
    "Finish a sign-in that waits for its second factor with a passkey",
    tag="login",
    limit=Limit(bucket="auth_2fa_verify", closed=True, account=lambda body: body.challenge, gives_back=True),
    calls=(PasskeyLogins.finish_second_factor,),
    omit_none=True,
)
async def finish_passkey_second_factor(call: Call[PasskeySecondFactor, NoParams]) -> TokenResponse:
    """Finish a sign-in with a passkey."""
    body, logins = call.body, call.service.passkey_logins
    credential, remember = body.credential.model_dump(), body.remember_device
    pair = await logins.finish_second_factor(
        body.user_id, body.challenge, credential, remember_device=remember, client=call.client
    )
    return TokenResponse.of(call.cookies.signed_in(pair))


@routes.post(
    "/auth/step-up/passkey/begin",
    "The options to prove your passkey again",
    tag="step-up",
    auth=Auth.USER,
    limit=_STEPPING_UP,
    calls=(PasskeyLogins.begin_step_up,),
)
async def begin_passkey_step_up(call: Plain) -> PasskeyRequest:
    """Issue a challenge for the caller's passkeys."""
    return PasskeyRequest(options=await call.service.passkey_logins.begin_step_up(call.account.id))


@routes.post(
    "/auth/step-up/passkey/finish",
    "Prove your passkey again",
    tag="step-up",
    auth=Auth.USER,
    limit=_STEPPING_UP,
    calls=(PasskeyLogins.finish_step_up,),
)
async def finish_passkey_step_up(call: Call[PasskeyProof, NoParams]) -> AccessTokenResponse:
    """Prove a passkey of the caller again."""
    account, credential = call.account, call.body.credential.model_dump()
    stepped = await call.service.passkey_logins.finish_step_up(
        account.id, account.session_id, credential, client=call.client
    )
    return AccessTokenResponse.of(stepped)
