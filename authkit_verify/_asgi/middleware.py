"""Protect any ASGI application by wrapping it: HTTP and WebSocket; every other scope passes unchanged.

``exclusions`` holds the requests that pass without a token, ``authenticator`` admits the others, and
``challenge`` writes refusals.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from authkit_verify._asgi.applications import require_application
from authkit_verify._asgi.authenticator import Authenticator
from authkit_verify._asgi.challenge import AccessDenied, Challenge, send_refusal
from authkit_verify._asgi.connection_lifetime import LeasedAnswer, LifetimeScope, run_websocket
from authkit_verify._asgi.credentials import (
    HandshakeSources,
    bearer_token,
    dpop_token,
    sole_authorization,
    uses_dpop,
)
from authkit_verify._asgi.enrichment import Enricher, EnrichmentSource, enricher_for
from authkit_verify._asgi.exclusions import PathSet, is_preflight, passes_unasked, without_bodies
from authkit_verify._asgi.lease import Lease
from authkit_verify._asgi.principal import Principal
from authkit_verify._asgi.required_scopes import required_scopes
from authkit_verify._asgi.resource_metadata import ResourceMetadata
from authkit_verify._asgi.types import ASGIApp, Receive, Scope, Send
from authkit_verify._verify.verifier import Verifier
from authkit_verify.config.values import words_of
from authkit_verify.errors import TokenError


class AuthMiddleware:
    """Lets a request through only with a valid token, or, with ``required=False``, also without one.

    A token that is present must be valid either way. CORS preflights pass without one, and without bodies:
    behind ``require_login()`` an application that answers every method alike refuses them. ``AccessDenied``
    and ``TokenError`` that the application raises are answered as well, unless its response has begun.

    Wrap it around every other middleware that reads or ends responses: behind Starlette's
    ``BaseHTTPMiddleware`` a stream that outlives its token ends as if it were complete.

    The application finds the ``Claims`` in ``scope["state"]["authkit"]`` (None without a token), the
    ``KeyState`` in ``scope["state"]["authkit_keys"]``, and the ``Principal`` in ``scope["user"]``, where
    Starlette looks for it.

    Args:
        app: The ASGI application to protect.
        verifier: The verifier of the tokens. The host closes it.
        required: If False, a request without a token passes as anonymous. Default True.
        exclude: Paths that need no token and whose token is not read: exact ones, and subtrees spelled
            ``/docs/*``. List ``/docs`` as well to exclude ``/docs/``, which is the same route to some
            frameworks. Paths are decoded and below ``root_path``. Default none.
        enrichment: The host's own records, asked whether the user may still act. A bare source serves the
            only accepted issuer; among several issuers an ``Enricher`` names those whose users it knows.
            Default None: the token alone counts.
        realm: The ``realm`` of the ``WWW-Authenticate`` challenge. Default ``authkit``.
        scopes: Scopes that the challenge names when no token came, and ``scopes_supported`` of the resource
            metadata. They are not required of a token. Default None: the ``required_scopes`` of the issuers.
        websocket_query: A query parameter that may carry the token of a WebSocket handshake. Default None:
            the query is not read.
        websocket_subprotocol: A subprotocol marker that a client offers directly before the token. Default
            None: subprotocols are not read.
        lifetime: The connections that end when their token expires: ``connections`` (WebSockets and
            ``text/event-stream``), ``all`` (every streamed response as well), or None for none. Default
            ``connections``.
        resource: The public URL of the protected resource. Its metadata (RFC 9728) is then served and named
            in every challenge, as MCP clients expect. Default None: no metadata.

    Raises:
        TypeError: ``app`` is no ASGI application.
        ValueError: An argument that would only fail in the middle of a request.

    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        *,
        required: bool = True,
        exclude: Iterable[str] = (),
        enrichment: EnrichmentSource | Enricher | None = None,
        realm: str = "authkit",
        scopes: Iterable[str] | None = None,
        websocket_query: str | None = None,
        websocket_subprotocol: str | None = None,
        lifetime: LifetimeScope | None = "connections",
        resource: str | None = None,
    ) -> None:
        self.app = app
        self._required = required
        self._exclude = PathSet(exclude)
        require_application(app, "AuthMiddleware", "Wrap the application, and not an endpoint of it.")
        scopes = required_scopes(verifier) if scopes is None else words_of("scopes", scopes)
        self._metadata = None if resource is None else _metadata(resource, verifier, scopes)
        self._handshake = HandshakeSources(query=websocket_query, subprotocol=websocket_subprotocol)
        if lifetime not in {None, "connections", "all"}:
            raise ValueError(f"lifetime must be 'connections', 'all' or None, not {lifetime!r}")
        self._lifetime: LifetimeScope | None = lifetime
        self._authenticator = Authenticator(
            challenge=Challenge(
                realm=realm, scopes=scopes, resource_metadata=self._metadata.url if self._metadata else None
            ),
            verifier=verifier,
            enricher=enricher_for(enrichment, verifier),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit one connection and pass it to the application, or refuse it."""
        kind = scope["type"]
        if kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        if self._metadata is not None and kind == "http" and self._metadata.is_asked_for(scope):
            await self._current(self._metadata).answer(scope, send)
            return
        authenticator = self._authenticator
        try:
            admitted = self._admit(scope)
            # No await on the usual path: the caller of a cached token is there at once.
            if admitted is None or isinstance(admitted, Principal):
                caller = admitted
            else:
                caller = await admitted
                send = authenticator.sending_nonce(scope, send)
        except (TokenError, AccessDenied) as error:
            refusal = authenticator.challenge.refuse(error, dpop=uses_dpop(scope))
            await send_refusal(scope, receive, send, refusal)
            return
        lease = None
        if caller is None and self._required and kind == "http" and passes_unasked(scope, self._exclude):
            receive, send = without_bodies(scope, receive, send)
        if caller is not None and self._lifetime is not None:
            caller.lease = lease = Lease(authenticator.verifier, caller.claims, authenticator.enricher)
        if kind == "websocket":
            send = self._handshake.selecting_marker(scope, send)
            await run_websocket(self.app, scope, receive, send, lease)
            return
        answer = LeasedAnswer(
            scope, receive, send, authenticator.challenge, lease=lease, streams=self._lifetime
        )
        try:
            with answer:
                await self.app(scope, answer.receive, answer.send)
        except (TokenError, AccessDenied) as error:
            await answer.refuse(error)

    def _current(self, metadata: ResourceMetadata) -> ResourceMetadata:
        """Return the metadata with the issuers of this moment: they come and go while the host runs."""
        return _metadata(metadata.resource, self._authenticator.verifier, tuple(metadata.scopes))

    def _is_open(self, scope: Scope) -> bool:
        """True for a request whose token is not read."""
        if self._exclude and scope in self._exclude:
            return True
        return scope["type"] == "http" and is_preflight(scope)

    def _admit(self, scope: Scope) -> Principal | Awaitable[Principal] | None:
        """Choose where the token comes from; everything after that is the authenticator's."""
        if self._is_open(scope):
            self._authenticator.admit_anonymous(scope)
            return None
        if scope["type"] == "websocket":
            token = self._handshake.token(scope)
        else:
            token = bearer_token(sole_authorization(scope))
        if token is not None:
            return self._authenticator.admit_token(scope, token)
        bound = dpop_token(sole_authorization(scope))
        if bound is not None:
            return self._authenticator.admit_dpop(scope, bound)
        if self._required:
            raise TokenError("missing_token", "this needs an access token")
        self._authenticator.admit_anonymous(scope)
        return None


def _metadata(resource: str, verifier: Verifier, scopes: tuple[str, ...]) -> ResourceMetadata:
    issuers = verifier.issuers
    return ResourceMetadata(
        resource=resource,
        # A template is no issuer that a client could ask, and its tenants are not for everyone to read.
        authorization_servers=[accept.issuer for accept in issuers if accept.tenants is None],
        scopes=scopes,
        dpop_algorithms=verifier.dpop.algorithms if verifier.dpop is not None else (),
        dpop_required=bool(issuers) and all(accept.dpop == "required" for accept in issuers),
        certificate_bound=any(accept.mtls == "required" for accept in issuers),
    )
