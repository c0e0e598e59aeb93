"""What a token opens now, told to the services that are configured for it (RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.http.operations import Auth, Body, Call, Limit, NoParams, Text
from authkit_issuer.http.route_groups import Routes


class IntrospectionRequest(Body):
    """A token; members that mean nothing here are ignored (RFC 7662 section 2.1)."""

    model_config = ConfigDict(extra="ignore")

    token: Annotated[Text, Field(min_length=1, repr=False)]
    token_type_hint: Text | None = None
    client_id: Annotated[str | None, Field(description="The client, unless HTTP Basic names it")] = None
    client_secret: Annotated[str | None, Field(repr=False, description="Its secret, sent once only")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """What a token opens; only ``active`` for one that opens nothing (RFC 7662 section 2.2)."""

    active: bool
    token_type: Literal["Bearer"] | None = None
    iss: str | None = None
    sub: str | None = None
    aud: str | list[str] | None = None
    client_id: str | None = None
    username: str | None = None
    scope: str | None = None
    iat: int | None = None
    exp: int | None = None
    jti: str | None = None
    sid: str | None = None
    auth_time: int | None = None
    org: str | None = None
    org_id: str | None = None
    roles: list[str] | None = None

    @classmethod
    def of_access(cls, claims: Mapping[str, Any]) -> Introspection:
        """Return what an access token says that still counts."""
        known = {name: _plain(claims[name]) for name in _CLAIMS if claims.get(name) is not None}
        return cls(active=True, token_type="Bearer", **known)  # noqa: S106 - the type


_CLAIMS = (
    "iss", "sub", "aud", "client_id", "username", "scope", "iat", "exp", "jti", "sid", "auth_time", "org",
    "org_id", "roles",
)  # fmt: skip
INACTIVE = Introspection(active=False)


routes = Routes(
    tag="sessions",
    auth=Auth.CLIENT,
    offered=lambda service: bool(service.config.introspection_clients),
    limit=Limit(bucket="auth_introspect"),
)


@routes.post(
    "/auth/introspect",
    "What a token opens now",
    calls=(Sessions.claims_of,),
    omit_none=True,
    oauth=True,
)
async def introspect_token(call: Call[IntrospectionRequest, NoParams]) -> Introspection:
    """Tell a resource server what a token opens now."""
    # A refresh token opens nothing at a resource server, which might take it for an access token
    # (RFC 7662 section 4). No client here owns one.
    claims = await call.service.sessions.claims_of(call.body.token)
    return INACTIVE if claims is None else Introspection.of_access(claims)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
