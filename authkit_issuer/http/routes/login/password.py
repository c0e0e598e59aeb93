"""Signing in with a password."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, ConfigDict, Field

from authkit_issuer.domains.login.service import Logins
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Text
from authkit_issuer.http.responses import TokenResponse
from authkit_issuer.http.route_groups import Routes

_NAMES = ("identifier", "email", "login")


def _one_of_three(schema: dict[str, Any]) -> None:
    """Document that exactly one of the three names of the identifier is given."""
    text: dict[str, Any] = schema["properties"][_NAMES[0]]
    schema["properties"] = {**dict.fromkeys(_NAMES, text), **schema["properties"]}
    schema["required"] = ["password"]
    schema["oneOf"] = [{"required": [name]} for name in _NAMES]


class Login(Body):
    """Who signs in; the password is taken as it is, blanks included."""

    model_config = ConfigDict(json_schema_extra=_one_of_three)

    identifier: Annotated[
        Text,
        # Two of the names at once mean two accounts; the one that lost is refused as unknown.
        Field(
            validation_alias=AliasChoices(*_NAMES), description="An email address, phone number or user name"
        ),
    ]
    password: Annotated[str, Field(repr=False)]
    org: Annotated[Text | None, Field(description="The organization the access token is for")] = None


routes = Routes(
    tag="login",
    auth=Auth.PUBLIC,
    limit=Limit(
        bucket="auth_password_login", closed=True, account=lambda body: body.identifier, by_device=True
    ),
)


@routes.post("/auth/password/login", "Sign in with a password", calls=(Logins.with_password,))
async def login(call: Call[Login, NoParams]) -> TokenResponse:
    """Sign in with a password."""
    body = call.body
    pair = await call.service.logins.with_password(
        body.identifier, body.password, org=body.org, client=call.client
    )
    return TokenResponse.of(call.signed_in(pair))
