"""Signing in with a password."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from authkit_issuer import errors
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.http.operations import PASSWORD_GUESSES, AccountName, Auth, Body, Call, NoParams, Text
from authkit_issuer.http.response_models import OkResponse, TokenResponse
from authkit_issuer.http.route_groups import Routes


class Login(Body):
    """Who signs in; the password is taken as it is, blanks included."""

    identifier: AccountName
    password: Annotated[str, Field(repr=False)]
    org: Annotated[Text | None, Field(description="The organization the access token is for")] = None


class TemporaryPassword(Body):
    """A temporary password, and the one that replaces it; both are taken as they are."""

    identifier: AccountName
    current_password: Annotated[str, Field(repr=False, description="The password that an operator set")]
    new_password: Annotated[str, Field(repr=False, description="8 characters to 1024 bytes")]


routes = Routes(
    tag="login",
    auth=Auth.PUBLIC,
    limit=PASSWORD_GUESSES,
)


@routes.post("/auth/password/login", "Sign in with a password", calls=(Logins.with_password,), omit_none=True)
async def login(call: Call[Login, NoParams]) -> TokenResponse:
    """Sign in with a password."""
    body = call.body
    pair = await call.service.logins.with_password(
        body.identifier, body.password, org=body.org, client=call.client
    )
    return TokenResponse.of(call.cookies.signed_in(pair))


@routes.post(
    "/auth/password/replace",
    "Replace a temporary password, then sign in with the new one",
    calls=(Passwords.replace_temporary,),
)
async def replace_temporary_password(call: Call[TemporaryPassword, NoParams]) -> OkResponse:
    """Replace the password that an operator set."""
    body, service = call.body, call.service
    try:
        await service.passwords.replace_temporary(
            body.identifier, body.current_password, body.new_password, client=call.client
        )
    except errors.Unauthenticated as refusal:
        await service.logins.note_failure(refusal, call.client)
        raise
    return OkResponse()
