"""Admission of a caller: one path for the middleware, the framework dependencies and the guards."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from authkit_verify._asgi.challenge import AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import bearer_token, sole_authorization
from authkit_verify._asgi.enrichment import Enricher
from authkit_verify._asgi.principal import Principal, admit, admit_anonymous, principal_of
from authkit_verify._asgi.types import Scope
from authkit_verify._verify.verifier import Verifier
from authkit_verify.errors import TokenError

AUTHENTICATOR = "authkit.authenticator"
"""The key of the scope that holds the :class:`Authenticator` of a request: the one that admitted its caller,
or else the innermost one in front of the application."""


class Authenticator:
    """Admits callers: verifies the token, asks the host's records, and writes the caller into the scope.

    One per middleware, shared by all its requests. ``challenge`` describes the resource in a refusal.
    """

    __slots__ = ("challenge", "enricher", "verifier")

    def __init__(self, *, challenge: Challenge, verifier: Verifier, enricher: Enricher | None = None) -> None:
        self.challenge = challenge
        self.verifier = verifier
        self.enricher = enricher

    def admit_token(self, scope: Scope, token: str) -> Principal | Awaitable[Principal]:
        """Admit the caller who brings this token: the only way from a token to a ``Principal``.

        Returns the caller at once if the token is cached and no records are asked, else an awaitable of the
        caller. Nearly every request ends in the first case, and a coroutine would be a tenth of its cost.

        Raises (here, or when awaited):
            TokenError: The token is refused, or the user is disabled.
            AccessDenied: The host's records cannot be read.
        """
        verified = self.verifier.recall(token)
        if verified is None:
            return self._admit_new(scope, token)
        caller = Principal(verified.claims, verified.keys, verified.key_set, self.verifier)
        if self.enricher is not None:
            return self._enrich(scope, caller, self.enricher)
        scope[AUTHENTICATOR] = self
        admit(scope, caller)
        return caller

    def admit_anonymous(self, scope: Scope) -> None:
        """Admit a request without a caller; a caller whom an outer authenticator admitted stays."""
        if principal_of(scope) is None:
            scope[AUTHENTICATOR] = self
        admit_anonymous(scope)

    async def admit(self, scope: Scope, *, required: bool, scopes: tuple[str, ...] = ()) -> Principal | None:
        """Admit the caller of this request by its ``Authorization`` header.

        A caller whom an outer authenticator with the same verifier admitted counts here too, without a
        second verification.

        Returns:
            The caller; None if no token came and neither a token nor a scope is required.

        Raises:
            TokenError: The token is refused, or the user is disabled.
            AccessDenied: A required token or scope is missing, or the host's records cannot be read.

        """
        caller = await self._identify(scope)
        if caller is None:
            if required or scopes:
                raise AccessDenied("missing_token", "this needs an access token", scopes=scopes)
            scope.setdefault(AUTHENTICATOR, self)  # a guard further in refuses with this challenge
        elif not set(scopes).issubset(caller.claims.scopes):
            raise AccessDenied("insufficient_scope", "the token lacks a required scope", scopes=scopes)
        return caller

    async def _identify(self, scope: Scope) -> Principal | None:
        outer, caller = authenticator_of(scope), principal_of(scope)
        if outer is None or caller is None or caller.verifier is not self.verifier:
            token = bearer_token(sole_authorization(scope))
            if token is None:
                return None
            admitted = self.admit_token(scope, token)
            return admitted if isinstance(admitted, Principal) else await admitted
        if self.enricher is None or self.enricher is outer.enricher:
            return caller
        again = Principal(caller.claims, caller.keys, caller.key_set, self.verifier)
        if caller.lease is not None:
            again.lease, caller.lease.enricher = caller.lease, self.enricher
        return await self._enrich(scope, again, self.enricher)

    async def _admit_new(self, scope: Scope, token: str) -> Principal:
        verified = await self.verifier.authenticate(token)
        caller = Principal(verified.claims, verified.keys, verified.key_set, self.verifier)
        return await self._enrich(scope, caller, self.enricher)

    async def _enrich(self, scope: Scope, caller: Principal, enricher: Enricher | None) -> Principal:
        if enricher is not None:
            caller.enrichment = await enricher.of(caller.claims)
            caller.decided_roles = enricher.roles_of(caller.claims, caller.enrichment)
        scope[AUTHENTICATOR] = self
        admit(scope, caller)
        return caller


def authenticator_of(scope: Mapping[str, Any]) -> Authenticator | None:
    """Return the authenticator of this request, or None if nothing protects it."""
    authenticator = scope.get(AUTHENTICATOR)
    return authenticator if isinstance(authenticator, Authenticator) else None


def refusal_for(scope: Mapping[str, Any], error: TokenError | AccessDenied) -> Refusal:
    """Return the response to an error, with the challenge of this request's middleware.

    Without a middleware in front, the challenge is the default ``Challenge()``.
    """
    authenticator = authenticator_of(scope)
    return (authenticator.challenge if authenticator is not None else Challenge()).refuse(error)
