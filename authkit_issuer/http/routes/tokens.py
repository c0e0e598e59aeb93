"""The token endpoint (RFC 6749 section 6)."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from authkit_issuer import errors
from authkit_issuer.http.answers import Tokens
from authkit_issuer.http.routing import AnyOperation, Auth, Body, Call, NoParams, Operation, Text


class UnsupportedGrantType(errors.Invalid):
    """The token endpoint was asked for a grant it does not offer (RFC 6749 section 5.2)."""

    code = "unsupported_grant_type"
    default = "The only grant type offered here is refresh_token."


class Exchange(Body):
    """A grant; members that mean nothing here are ignored (RFC 6749 section 3.2)."""

    model_config = ConfigDict(extra="ignore")

    grant_type: Annotated[Text, Field(description="refresh_token, in any letter case")]
    refresh_token: Annotated[Text, Field(min_length=1, repr=False)]
    org: Annotated[Text | None, Field(description="The organisation the access token is for")] = None


async def exchange(call: Call[Exchange, NoParams]) -> Tokens:
    """Trade a refresh token for its successor and a fresh access token."""
    body = call.body
    if body.grant_type.lower() != "refresh_token":
        raise UnsupportedGrantType(param="grant_type")
    pair = await call.service.sessions.exchange(body.refresh_token, org=body.org, client=call.client)
    return Tokens.of(pair)


OPERATIONS: tuple[AnyOperation, ...] = (
    Operation(
        method="POST",
        path="/auth/token",
        summary="Exchange a refresh token",
        tag="sessions",
        handler=exchange,
        body=Exchange,
        returns=Tokens,
        auth=Auth.PUBLIC,
        errors=(
            errors.InvalidRefreshToken,
            errors.RefreshTokenReuseDetected,
            errors.UserBanned,
            errors.InvalidTarget,
            UnsupportedGrantType,
            errors.MissingSigner,
            errors.DatabaseUnavailable,
        ),
        oauth=True,
    ),
)
