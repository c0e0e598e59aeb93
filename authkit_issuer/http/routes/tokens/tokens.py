"""Tokens: exchange (RFC 6749 section 6), one for an organization, and the end of one (RFC 7009)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from authkit_issuer import errors
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.domains.tokens.service import Tokens
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Text,
    with_orgs,
)
from authkit_issuer.http.response_models import AccessTokenResponse, OkResponse, TokenResponse
from authkit_issuer.http.route_groups import Routes
from authkit_verify import bearer_token


class UnsupportedGrantType(errors.Invalid):
    """The token endpoint was asked for a grant it does not offer (RFC 6749 section 5.2)."""

    code = "unsupported_grant_type"
    default = "The only grant type offered here is refresh_token."


class InvalidScope(errors.Invalid):
    """The token endpoint was asked for a scope, and its tokens have none (RFC 6749 section 5.2)."""

    code = "invalid_scope"
    default = "The tokens of this service have no scope: leave the parameter out."


class TokenRequest(Body):
    """A grant; members that mean nothing here are ignored (RFC 6749 section 3.2)."""

    model_config = ConfigDict(extra="ignore")

    grant_type: Annotated[
        Text, Field(description="In any letter case", json_schema_extra={"enum": ["refresh_token"]})
    ]
    refresh_token: Annotated[
        Text | None,
        Field(repr=False, description="Left out only where this service keeps it in a cookie"),
    ] = None
    org: Annotated[Text | None, Field(description="The organization the access token is for")] = None
    scope: Annotated[Text | None, Field(description="Must be left out: no token has a scope")] = None


class RevocationRequest(Body):
    """A token of either kind; the hint is not needed (RFC 7009 section 2.1)."""

    model_config = ConfigDict(extra="ignore")

    token: Annotated[Text, Field(min_length=1, repr=False)]
    token_type_hint: Text | None = None


class CurrentSessionRequest(Body):
    """The refresh token of the session that is asked about."""

    refresh_token: Annotated[
        Text | None,
        Field(repr=False, description="Left out only where this service keeps it in a cookie"),
    ] = None


class OrgTokenRequest(Body):
    """The organization an access token is wanted for, by its current or a former name."""

    org: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentSession:
    """The session behind a refresh token."""

    session_id: str


routes = Routes(tag="sessions", auth=Auth.PUBLIC)


@routes.post(
    "/auth/token",
    "Exchange a refresh token",
    limit=Limit(bucket="auth_token", refresh_token=lambda body: body.refresh_token),
    calls=(Sessions.exchange,),
    omit_none=True,
    errors=(UnsupportedGrantType, InvalidScope),
    oauth=True,
)
async def refresh_tokens(call: Call[TokenRequest, NoParams]) -> TokenResponse:
    """Trade a refresh token for its successor and a fresh access token."""
    body = call.body
    if body.grant_type.lower() != "refresh_token":
        raise UnsupportedGrantType(param="grant_type")
    if body.scope:
        raise InvalidScope(param="scope")
    token = call.cookies.refresh_token(body.refresh_token)
    pair = await call.service.sessions.exchange(token, org=body.org, client=call.client)
    return TokenResponse.of(pair)


@routes.post(
    "/auth/token/org",
    "Get an access token for one of your organizations",
    auth=Auth.USER,
    offered=with_orgs,
    limit=Limit(bucket="auth_token", by_user=True),
    calls=(Tokens.issue_org_access, Tokens.verify),
)
async def issue_org_token(call: Call[OrgTokenRequest, NoParams]) -> AccessTokenResponse:
    """Give a signed-in user an access token for one of their organizations, until the one that asks ends."""
    account = call.account
    access = await call.service.tokens.issue_org_access(
        account.id,
        account.email or "",
        call.body.org,
        session_id=account.session_id,
        auth_time=account.auth_time,
        amr=account.amr,
        not_after=await _end_of_token(call),
    )
    return AccessTokenResponse.of(access)


async def _end_of_token(call: Call[OrgTokenRequest, NoParams]) -> datetime:
    """Return when the access token of the request ends, which its session may do earlier.

    A token that is made of it ends then, too: the holder of a stolen one would renew it without end.
    """
    token = bearer_token(call.header(b"authorization").encode("latin-1")) or ""
    claims = await call.service.tokens.verify(token)
    end = datetime.fromtimestamp(claims.expires_at, UTC)
    return min(end, call.account.expires_at or end)


@routes.post(
    "/auth/revoke",
    "End the session behind a token",
    limit=Limit(bucket="auth_revoke"),
    calls=(Sessions.revoke_token,),
    oauth=True,
)
async def revoke_token(call: Call[RevocationRequest, NoParams]) -> OkResponse:
    """End the session of a token; an unknown token is not an error (RFC 7009 section 2.2)."""
    await call.service.sessions.revoke_token(call.body.token, client=call.client)
    return OkResponse()


@routes.post(
    "/auth/sessions/current",
    "Which session a refresh token belongs to",
    limit=Limit(bucket="auth_sessions_current", refresh_token=lambda body: body.refresh_token),
    calls=(Sessions.resolve,),
)
async def get_current_session(call: Call[CurrentSessionRequest, NoParams]) -> CurrentSession:
    """Tell which session a refresh token belongs to; the token stays as it is."""
    token = call.cookies.refresh_token(call.body.refresh_token)
    return CurrentSession(session_id=await call.service.sessions.resolve(token))
