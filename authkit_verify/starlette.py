"""Starlette's authentication: a backend for its ``AuthenticationMiddleware``, and refusals for it.

    from starlette.middleware.authentication import AuthenticationMiddleware

    Middleware(AuthenticationMiddleware, backend=BearerBackend(verifier), on_error=refuse)

``AuthMiddleware`` needs none of this, and Starlette's ``@requires`` works behind it as well. The backend is
for an application that already has Starlette's middleware, or several backends. Only ``AuthMiddleware`` ends
a connection that outlives its token.
"""

from __future__ import annotations

from typing import cast

from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    UnauthenticatedUser,
)
from starlette.middleware import authentication
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from authkit_verify._asgi.authenticator import Authenticator, refusal_for
from authkit_verify._asgi.challenge import POLICY_VIOLATION, AccessDenied, Challenge, Refusal, send_refusal
from authkit_verify._asgi.credentials import uses_dpop
from authkit_verify._asgi.enrichment import Enricher, EnrichmentSource, enricher_for
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError

__all__ = ["AuthenticationMiddleware", "BearerBackend", "Refused", "refuse"]


class Refused(AuthenticationError):
    """The token is refused, or its keys are unavailable; ``refusal`` is the response to send."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class BearerBackend(AuthenticationBackend):
    """Reads the bearer token of a request; a token that is present must be valid.

    Behind ``AuthMiddleware`` with the same verifier no token is verified twice.

    Args:
        verifier: The verifier of the tokens. The host closes it.
        required: Refuse a request without a token. Default False: its user is Starlette's
            ``UnauthenticatedUser``.
        enrichment: The host's own records, as in ``AuthMiddleware``. Default None.
        challenge: The resource in the ``WWW-Authenticate`` header. Default None: ``Challenge()``.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        required: bool = False,
        enrichment: EnrichmentSource | Enricher | None = None,
        challenge: Challenge | None = None,
    ) -> None:
        self._required = required
        self._authenticator = Authenticator(
            challenge=challenge or Challenge(),
            verifier=verifier,
            enricher=enricher_for(enrichment, verifier),
        )

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        """Return the token's scopes and its ``Principal``; None if no token came. Raises Refused."""
        try:
            caller = await self._authenticator.admit(conn.scope, required=self._required)
        except (TokenError, AccessDenied) as error:
            refusal = self._authenticator.challenge.refuse(error, dpop=uses_dpop(conn.scope))
            raise Refused(refusal) from error
        if caller is None:
            return None
        return AuthCredentials(conn.scope["auth"].scopes), cast("BaseUser", caller)


def refuse(conn: HTTPConnection, error: Exception) -> Response:
    """Return the response to a refusal: status, ``WWW-Authenticate`` or ``Retry-After``, and JSON.

    For ``AuthenticationMiddleware(on_error=refuse)``, and as the handler of the errors that guards and the
    verifier raise inside an endpoint: ``exception_handlers={AccessDenied: refuse, TokenError: refuse}``. An
    error of another backend is a 400, as in Starlette; any other exception is raised again.
    """
    if isinstance(error, Refused):
        refusal = error.refusal
    elif isinstance(error, TokenError | AccessDenied):
        refusal = refusal_for(conn.scope, error)
    elif isinstance(error, AuthenticationError):
        return authentication.AuthenticationMiddleware.default_on_error(conn, error)
    else:
        raise error
    answer = Response(refusal.body, refusal.status)
    answer.raw_headers = list(refusal.headers)
    return answer


class AuthenticationMiddleware(authentication.AuthenticationMiddleware):
    """Starlette's middleware with these refusals, on WebSockets too.

    On a WebSocket, Starlette calls ``on_error`` and then closes with 1000 in any case. This middleware sends
    the denial response, or closes with 1008, or with 1013 if a retry may succeed.
    """

    def __init__(self, app: ASGIApp, backend: AuthenticationBackend) -> None:
        super().__init__(app, backend, on_error=refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate one connection and pass it to the application, or refuse it."""
        if scope["type"] != "websocket":
            await super().__call__(scope, receive, send)
            return
        try:
            found = await self.backend.authenticate(HTTPConnection(scope))
        except Refused as error:
            await send_refusal(scope, receive, send, error.refusal)
        except AuthenticationError:
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            scope["auth"], scope["user"] = found or (AuthCredentials(), UnauthenticatedUser())
            await self.app(scope, receive, send)
