"""Signing in with a password."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, ConfigDict, Field

from authkit_issuer import errors
from authkit_issuer.http.operations import AnyOperation, Auth, Body, Call, Limit, NoParams, Operation, Text
from authkit_issuer.http.responses import Tokens

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


async def login(call: Call[Login, NoParams]) -> Tokens:
    """Sign in with a password."""
    body = call.body
    pair = await call.service.logins.with_password(
        body.identifier, body.password, org=body.org, client=call.client
    )
    return Tokens.of(call.signed_in(pair))


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="POST",
        path="/auth/password/login",
        summary="Sign in with a password",
        tag="login",
        handler=login,
        body=Login,
        returns=Tokens,
        auth=Auth.PUBLIC,
        limit=Limit(
            bucket="auth_password_login", closed=True, account=lambda body: body.identifier, by_device=True
        ),
        errors=(
            errors.InvalidCredentials,
            errors.UserBanned,
            errors.EmailNotVerified,
            errors.PhoneNotVerified,
            errors.PasswordResetRequired,
            errors.TwoFactorRequired,
            errors.OrgModeNotMulti,
            errors.InvalidOrgSlug,
            errors.OrgNotFound,
            errors.NotOrgMember,
            errors.TooManyRequests,
            errors.MissingSigner,
            errors.ServerBusy,
            errors.DatabaseUnavailable,
            errors.EphemeralStoreUnavailable,
        ),
    ),
)
