"""Protect any ASGI application by wrapping it: http and websocket alike, everything else untouched."""

from __future__ import annotations

from collections.abc import Iterable

from authkit_verify.asgi import ASGIApp, PathSet, Receive, Scope, Send, is_preflight
from authkit_verify.challenge import Challenge, send_refusal
from authkit_verify.credentials import HandshakeSources, bearer_token, sole_authorization
from authkit_verify.errors import TokenError
from authkit_verify.principal import GATE, Gate, Principal, admit, admit_anonymous
from authkit_verify.verifier import Verifier


class AuthMiddleware:
    """Lets a request through only with a valid token, or, with ``required=False``, also without any.

    A token that is present must be valid either way. ``exclude`` names paths that are not looked at: exact
    ones, and subtrees spelled ``/docs/*``. CORS preflights pass. ``websocket_query`` and
    ``websocket_subprotocol`` open further places for a websocket's token (see ``HandshakeSources``).
    ``realm`` and ``scopes`` stand in the challenge of a refusal.

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
        realm: str = "authkit",
        scopes: Iterable[str] = (),
        websocket_query: str | None = None,
        websocket_subprotocol: str | None = None,
    ) -> None:
        self.app = app
        self._verifier = verifier
        self._required = required
        self._exclude = PathSet(exclude)
        self._challenge = Challenge(realm=realm, scopes=tuple(scopes))
        self._handshake = HandshakeSources(query=websocket_query, subprotocol=websocket_subprotocol)
        self._gate = Gate(challenge=self._challenge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one connection, then hand it on or refuse it."""
        kind = scope["type"]
        if kind not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        if scope.get(GATE) is not self._gate:
            scope[GATE] = self._gate
        if (self._exclude and scope in self._exclude) or (kind == "http" and is_preflight(scope)):
            admit_anonymous(scope)
            await self.app(scope, receive, send)
            return
        try:
            await self._admit(scope)
        except TokenError as error:
            await send_refusal(scope, receive, send, self._challenge.refuse(error))
            return
        if kind == "websocket":
            send = self._handshake.answering(scope, send)
        await self.app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        if scope["type"] == "websocket":
            token = self._handshake.token(scope)
        else:
            token = bearer_token(sole_authorization(scope))
        if token is not None:
            verified = await self._verifier.authenticate(token)
            admit(scope, Principal(verified.claims, verified.keys))
        elif self._required:
            raise TokenError("missing_token", "this needs an access token")
        else:
            admit_anonymous(scope)
