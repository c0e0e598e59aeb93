"""FastAPI: the caller of a route as a dependency, with its scopes in the OpenAPI document.

    bearer = Bearer(verifier)

    @app.get("/orders")
    async def orders(caller: Annotated[Principal, Security(bearer, scopes=["orders:read"])]): ...

Use it without ``AuthMiddleware``, or behind one with the same verifier; no token is then verified twice. Only
the middleware ends a WebSocket or an event stream that outlives its token, and only the middleware reads the
token of a WebSocket from other places than the header.
"""

# No "from __future__ import annotations": FastAPI reads the annotations of a callable object as they stand.

import json
from collections.abc import Awaitable, Callable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any, NoReturn

from fastapi import HTTPException, Security, WebSocketException
from fastapi.openapi.models import HTTPBearer
from fastapi.openapi.models import SecurityBase as Description
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from authkit_verify._asgi.authenticator import Authenticator, authenticator_of
from authkit_verify._asgi.challenge import DPOP_NONCE, AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import uses_dpop
from authkit_verify._asgi.enrichment import Enricher, EnrichmentSource, enricher_for
from authkit_verify._asgi.guards import Guard
from authkit_verify._asgi.principal import Principal
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError

__all__ = ["Bearer"]

GUARD_SIGNATURE = Signature([Parameter("app", Parameter.POSITIONAL_OR_KEYWORD, annotation=HTTPConnection)])
"""The signature of a guard as a dependency: the one parameter of its ``__call__`` is the connection."""

_SHOWN = frozenset({b"www-authenticate", b"retry-after", b"cache-control", DPOP_NONCE})


def fastapi_error(scope: Mapping[str, Any], refusal: Refusal) -> Exception:
    """Return the ``HTTPException`` of a refusal, or the ``WebSocketException`` if no denial can be sent."""
    extensions = scope.get("extensions") or {}
    if scope["type"] == "websocket" and "websocket.http.response" not in extensions:
        return WebSocketException(refusal.close_code, refusal.code)
    headers = {name.decode(): value.decode() for name, value in refusal.headers if name in _SHOWN}
    return HTTPException(refusal.status, json.loads(refusal.body), headers)


class Bearer(SecurityBase):
    """A dependency: the caller, if its token is valid and has every scope of the route.

    A refusal is an ``HTTPException`` 401, 403 or 503 with the headers of RFC 6750 and the code in ``detail``.
    A WebSocket receives a denial response, or is closed with 1008 or 1013.

    Args:
        verifier: The verifier of the tokens. The host closes it.
        required: If False, a route without scopes receives None if no token came. Default True.
        enrichment: The host's own records, as in ``AuthMiddleware``. Default None.
        challenge: The resource in the ``WWW-Authenticate`` header. Default None: that of the middleware in
            front, or ``Challenge()``.
        scheme_name: The name of the security scheme in the OpenAPI document. Default ``Bearer``.
        model: The description of the scheme in the OpenAPI document. Default None: a bearer token, for which
            the page of FastAPI's ``/docs`` has a field. ``OAuth2(flows=...)`` or ``OpenIdConnect(...)`` offer
            a sign-in there, if the issuer has a public client with ``/docs/oauth2-redirect`` as its redirect
            URI; ``FastAPI(swagger_ui_init_oauth=...)`` has its ID and the parameters of its requests.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        required: bool = True,
        enrichment: EnrichmentSource | Enricher | None = None,
        challenge: Challenge | None = None,
        scheme_name: str = "Bearer",
        model: Description | None = None,
    ) -> None:
        self._required = required
        self._challenge = challenge
        self._authenticator = Authenticator(
            challenge=challenge or Challenge(),
            verifier=verifier,
            enricher=enricher_for(enrichment, verifier),
        )
        self.scheme_name = scheme_name
        self.model = model if model is not None else HTTPBearer(bearerFormat="JWT")

    async def __call__(self, connection: HTTPConnection, asked: SecurityScopes) -> Principal | None:
        """Return the caller. Raises HTTPException, or WebSocketException if no denial can be sent."""
        try:
            return await self._authenticator.admit(
                connection.scope, required=self._required, scopes=tuple(asked.scopes)
            )
        except (TokenError, AccessDenied) as error:
            self._refuse(connection, error)

    def where(self, first: Guard, *rest: Guard) -> Callable[..., Awaitable[Principal]]:
        """Return a dependency that also requires every guard: ``Security(bearer.where(...))``."""

        async def allowed(
            connection: HTTPConnection, caller: Annotated[Principal | None, Security(self)]
        ) -> Principal:
            try:
                admitted_by = authenticator_of(connection.scope) if caller is not None else None
                authenticator = admitted_by or self._authenticator
                known = await first.require(caller, authenticator)
                for guard in rest:
                    await guard.require(known, authenticator)
            except AccessDenied as error:
                self._refuse(connection, error)
            return known

        return allowed

    def _refuse(self, connection: HTTPConnection, error: TokenError | AccessDenied) -> NoReturn:
        outer = authenticator_of(connection.scope)
        challenge = (
            outer.challenge
            if outer is not None and self._challenge is None
            else self._authenticator.challenge
        )
        refusal = challenge.refuse(error, dpop=uses_dpop(connection.scope))
        raise fastapi_error(connection.scope, refusal) from error
