"""One way in: what the middleware, a framework's dependency and every guard behind them agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authkit_verify._asgi.challenge import AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import bearer_token, sole_authorization
from authkit_verify._asgi.enrichment import Enricher
from authkit_verify._asgi.principal import Principal, admit, principal_of
from authkit_verify._asgi.types import Scope
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError

GATE = "authkit.gate"
"""The key of the scope under which the protecting middleware leaves its :class:`Gate`."""


class Gate:
    """Who judges tokens, whose records are asked, and how a refusal introduces the resource.

    One per middleware, shared by all its requests.
    """

    __slots__ = ("challenge", "enricher", "verifier")

    def __init__(self, *, challenge: Challenge, verifier: Verifier, enricher: Enricher | None = None) -> None:
        self.challenge = challenge
        self.verifier = verifier
        self.enricher = enricher

    async def admit(self, scope: Scope, *, required: bool, scopes: tuple[str, ...] = ()) -> Principal | None:
        """Write the caller of this request into the scope and return it.

        None when no token came and neither that nor a scope is ``required``. A caller whom an outer gate let
        in counts here too, without a second verification, if both ask the same verifier. Raises TokenError
        and AccessDenied.
        """
        caller = await self._identify(scope)
        if caller is None:
            if required or scopes:
                raise AccessDenied("missing_token", "this needs an access token", scopes=scopes)
        elif not set(scopes).issubset(caller.claims.scopes):
            raise AccessDenied("insufficient_scope", "the token lacks a required scope", scopes=scopes)
        return caller

    async def _identify(self, scope: Scope) -> Principal | None:
        caller = principal_of(scope)
        outer = caller.gate if caller is not None else None
        if caller is None or outer is None or outer.verifier is not self.verifier:
            token = bearer_token(sole_authorization(scope))
            if token is None:
                return None
            verified = await self.verifier.authenticate(token)
            caller = Principal(verified.claims, verified.keys, self, verified.key_set)
        elif self.enricher is None or self.enricher is outer.enricher:
            return caller
        else:
            lease = caller.lease
            caller = Principal(caller.claims, caller.keys, self, caller.key_set)
            if lease is not None:
                caller.lease, lease.gate = lease, self
        if self.enricher is not None:
            caller.enrichment = await self.enricher.of(caller.claims)
        scope[GATE] = self
        admit(scope, caller)
        return caller


def gate_of(scope: Mapping[str, Any]) -> Gate | None:
    """Return the gate this request came through, or None when no middleware protects it."""
    gate = scope.get(GATE)
    return gate if isinstance(gate, Gate) else None


def refusal_for(scope: Mapping[str, Any], error: TokenError | AccessDenied) -> Refusal:
    """Return the finished answer for an error, introduced as the gate in front of this request does."""
    gate = gate_of(scope)
    return (gate.challenge if gate is not None else Challenge()).refuse(error)
