"""Admission of a caller: one path for the middleware, the framework dependencies and the guards."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from authkit_verify._asgi.challenge import DPOP_NONCE, AccessDenied, Challenge, Refusal
from authkit_verify._asgi.credentials import bearer_token, dpop_token, sole_authorization, uses_dpop
from authkit_verify._asgi.enrichment import Enricher
from authkit_verify._asgi.principal import Principal, admit, admit_anonymous, principal_of, state_of
from authkit_verify._asgi.request_proof import dpop_header, may_have_certificate, request_proof
from authkit_verify._asgi.required_scopes import refuse_missing_scopes
from authkit_verify._asgi.types import Message, Scope, Send
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
        if verifier.dpop is not None and not challenge.dpop_algorithms:
            challenge = replace(challenge, dpop_algorithms=tuple(verifier.dpop.algorithms))
        self.challenge = challenge
        self.verifier = verifier
        self.enricher = enricher

    def admit_token(self, scope: Scope, token: str) -> Principal | Coroutine[Any, Any, Principal]:
        """Admit the caller who brings this token with the ``Bearer`` scheme, or in a handshake.

        Returns the caller at once if the token is cached and no records are asked, else a coroutine of the
        caller. Nearly every request ends in the first case, and a coroutine would be a tenth of its cost.

        Raises (here, or when awaited):
            TokenError: The token is refused, or the user is disabled.
            AccessDenied: The host's records cannot be read.
        """
        verified = self.verifier.recall(token)
        if verified is None:
            return self._admit_new(scope, token, None)
        caller = Principal(verified.claims, verified.keys, verified.key_set, self.verifier)
        if self.enricher is not None:
            return self._enrich(scope, caller, self.enricher)
        scope[AUTHENTICATOR] = self
        admit(scope, caller)
        return caller

    async def admit_dpop(self, scope: Scope, token: str) -> Principal:
        """Admit the caller who brings this token with the ``DPoP`` scheme. Raises as ``admit_token`` does."""
        outer, known = authenticator_of(scope), principal_of(scope)
        if outer is not None and known is not None and known.verifier is self.verifier:
            return await self._admit_again(scope, known, outer)  # its proof is used up
        return await self._admit_new(scope, token, dpop_header(scope))

    def admit_anonymous(self, scope: Scope) -> None:
        """Admit a request without a caller; a caller whom an outer authenticator admitted stays."""
        if principal_of(scope) is None:
            scope[AUTHENTICATOR] = self
        admit_anonymous(scope)

    def sending_nonce(self, scope: Scope, send: Send) -> Send:
        """Return a ``send`` that hands out a nonce with the response to a DPoP request, if proofs need one.

        A client that takes it from each response (RFC 9449, 8.2) is never refused for an old one.
        """
        nonce = self.verifier.dpop_nonce()
        if nonce is None or not uses_dpop(scope):
            return send
        header = (DPOP_NONCE, nonce.encode())

        async def send_with_nonce(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                message = {**message, "headers": [*(message.get("headers") or ()), header]}
            await send(message)

        return send_with_nonce

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
            state_of(scope)  # which is then not that of the request before
        else:
            refuse_missing_scopes(caller, scopes)
        return caller

    async def _identify(self, scope: Scope) -> Principal | None:
        outer, caller = authenticator_of(scope), principal_of(scope)
        if outer is not None and caller is not None and caller.verifier is self.verifier:
            return await self._admit_again(scope, caller, outer)
        authorization = sole_authorization(scope)
        token = bearer_token(authorization)
        if token is not None:
            admitted = self.admit_token(scope, token)
            return admitted if isinstance(admitted, Principal) else await admitted
        bound = dpop_token(authorization)
        return None if bound is None else await self.admit_dpop(scope, bound)

    async def _admit_again(self, scope: Scope, caller: Principal, outer: Authenticator) -> Principal:
        """Admit a caller whose token the same verifier has accepted; only the records may be others."""
        if self.enricher is None or self.enricher is outer.enricher:
            return caller
        again = Principal(caller.claims, caller.keys, caller.key_set, self.verifier)
        if caller.lease is not None:
            again.lease, caller.lease.enricher = caller.lease, self.enricher
        return await self._enrich(scope, again, self.enricher)

    async def _admit_new(self, scope: Scope, token: str, dpop: str | None) -> Principal:
        if dpop is None and not may_have_certificate(scope, self.verifier):
            verified = await self.verifier.authenticate(token)
        else:
            proof = request_proof(scope, self.verifier, dpop=dpop)
            verified = await self.verifier.authenticate(token, proof)
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
    challenge = authenticator.challenge if authenticator is not None else Challenge()
    return challenge.refuse(error, dpop=uses_dpop(scope))
