"""Protect any ASGI application by wrapping it: http and websocket alike, everything else untouched."""

from __future__ import annotations

from collections.abc import Iterable

from authkit_verify._asgi.authenticator import GATE, Gate
from authkit_verify._asgi.challenge import AccessDenied, Challenge, send_refusal
from authkit_verify._asgi.credentials import HandshakeSources, bearer_token, sole_authorization
from authkit_verify._asgi.enrichment import Enricher, EnrichmentSource, enricher_for
from authkit_verify._asgi.principal import Principal, admit, admit_anonymous
from authkit_verify._asgi.resource_metadata import ResourceMetadata
from authkit_verify._asgi.token_lifetime import Lease, LeasedAnswer, Lifetime, run_websocket
from authkit_verify._asgi.types import ASGIApp, PathSet, Receive, Scope, Send, is_preflight
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError


class AuthMiddleware:
    """Lets a request through only with a valid token, or, with ``required=False``, also without any.

    A token that is present must be valid either way. ``exclude`` names paths that are not looked at: exact
    ones, and subtrees spelled ``/docs/*``. CORS preflights pass. ``enrichment`` asks the host's own
    records whether the user may still act; left out, the token alone counts. Among several issuers an
    ``Enricher`` says whose users the records know.
    ``websocket_query`` and ``websocket_subprotocol`` open further places for a websocket's token (see
    ``HandshakeSources``).
    A websocket or event stream ends when its token does: ``lifetime="all"`` says the same of every streamed
    response, None switches it off. ``resource`` is the public address of what is protected: its metadata
    (RFC 9728) is then served and named in every challenge, as MCP clients expect. ``realm`` and ``scopes``
    stand in the challenge of a refusal.

    The application finds the ``Claims`` in ``scope["state"]["authkit"]`` (None without a token), the
    ``KeyState`` in ``scope["state"]["authkit_keys"]``, and a user as Starlette knows it in ``scope["user"]``.
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
        scopes: Iterable[str] = (),
        websocket_query: str | None = None,
        websocket_subprotocol: str | None = None,
        lifetime: Lifetime | None = "connections",
        resource: str | None = None,
    ) -> None:
        self.app = app
        self._verifier = verifier
        self._required = required
        self._exclude = PathSet(exclude)
        scopes = tuple(scopes)
        self._metadata = _metadata(resource, verifier, scopes)
        self._challenge = Challenge(
            realm=realm, scopes=scopes, resource_metadata=self._metadata.url if self._metadata else None
        )
        self._handshake = HandshakeSources(query=websocket_query, subprotocol=websocket_subprotocol)
        if lifetime not in {None, "connections", "all"}:
            raise ValueError(f"lifetime is 'connections', 'all' or None, not {lifetime!r}")
        self._lifetime: Lifetime | None = lifetime
        self._enricher = enricher_for(enrichment, verifier.config)
        self._gate = Gate(challenge=self._challenge, verifier=verifier, enricher=self._enricher)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection, then hand it on or refuse it."""
        kind = scope["type"]
        if kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        if self._metadata is not None and kind == "http" and self._metadata.is_asked_for(scope):
            await self._metadata.answer(scope, send)
            return
        scope[GATE] = self._gate
        if (self._exclude and scope in self._exclude) or (kind == "http" and is_preflight(scope)):
            admit_anonymous(scope)
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._admit(scope)
        except (TokenError, AccessDenied) as error:
            await send_refusal(scope, receive, send, self._challenge.refuse(error))
            return
        if kind == "websocket":
            send = self._handshake.answering(scope, send)
        if caller is None or self._lifetime is None:
            await self.app(scope, receive, send)
            return
        caller.lease = lease = Lease(self._gate, caller.claims)
        if kind == "websocket":
            await run_websocket(self.app, scope, receive, send, lease)
            return
        with LeasedAnswer(send, lease, self._lifetime) as answer:
            await self.app(scope, receive, answer.send)

    async def _admit(self, scope: Scope) -> Principal | None:
        if scope["type"] == "websocket":
            token = self._handshake.token(scope)
        else:
            token = bearer_token(sole_authorization(scope))
        if token is not None:
            # The first half alone needs no coroutine, and nearly every request ends there.
            verified = self._verifier.recall(token) or await self._verifier.authenticate(token)
            caller = Principal(verified.claims, verified.keys, self._gate, verified.key_set)
            if self._enricher is not None:
                caller.enrichment = await self._enricher.of(caller.claims)
            admit(scope, caller)
            return caller
        if self._required:
            raise TokenError("missing_token", "this needs an access token")
        admit_anonymous(scope)
        return None


def _metadata(resource: str | None, verifier: Verifier, scopes: tuple[str, ...]) -> ResourceMetadata | None:
    if resource is None:
        return None
    servers = [accept.issuer for accept in verifier.config.issuers]
    return ResourceMetadata(resource=resource, authorization_servers=servers, scopes=scopes)
