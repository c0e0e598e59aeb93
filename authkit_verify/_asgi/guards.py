"""Guards for parts of an application behind ``AuthMiddleware``: who may come through here.

A guard wraps any ASGI application: ``require_scope("read")(app)``, or in Starlette
``Mount("/reports", app=..., middleware=[Middleware(require_scope("read"))])``. It reads what the middleware
found out and judges no token. Without a caller it answers 401, to the wrong one 403. Inside a handler,
``await require_scope("read").check(request.scope)`` raises the same refusal as ``AccessDenied``.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from authkit_verify._asgi.authenticator import Gate, gate_of, refusal_for
from authkit_verify._asgi.challenge import AccessDenied, send_refusal
from authkit_verify._asgi.principal import Principal, principal_of
from authkit_verify._asgi.types import Receive, Scope, Send

_FORBIDDEN = "the caller may not do this"

Condition = Callable[[Principal], Awaitable[None] | None]


class Guard:
    """One condition on the caller. ``check`` raises AccessDenied, or returns the caller.

    ``needs`` looks at the gate before anybody is judged, so that a wrong set-up shows at the first request.
    """

    __slots__ = ("_condition", "_needs", "_scopes")

    def __init__(
        self,
        condition: Condition,
        scopes: tuple[str, ...] = (),
        *,
        needs: Callable[[Gate | None], None] | None = None,
    ) -> None:
        self._condition = condition
        self._scopes = scopes
        self._needs = needs

    async def check(self, scope: Mapping[str, Any]) -> Principal:
        """Return the caller of this request if the condition holds. Raises AccessDenied if not."""
        return await self.judge(principal_of(scope), gate_of(scope))

    async def judge(self, caller: Principal | None, gate: Gate | None) -> Principal:
        """Return this caller, who came or would have come through ``gate``. Raises AccessDenied."""
        if self._needs is not None:
            self._needs((caller.gate if caller is not None else None) or gate)
        if caller is None:
            raise AccessDenied("missing_token", "this needs an access token", scopes=self._scopes)
        outcome = self._condition(caller)
        if outcome is not None:
            await outcome
        return caller

    # Every framework has its own words for the three arguments, and a guard goes between any two of them.
    def __call__(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return ``app`` behind this guard; what is neither http nor websocket passes."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in {"http", "websocket"}:
                try:
                    await self.check(scope)
                except AccessDenied as error:
                    await send_refusal(scope, receive, send, refusal_for(scope, error))
                    return
            await app(scope, receive, send)

        return guarded


def require_login() -> Guard:
    """Let any caller with a valid token through."""
    return Guard(lambda _caller: None)


def require_scope(*scopes: str) -> Guard:
    """Ask for every one of these scopes of the token."""
    _named("scope", scopes)

    def condition(caller: Principal) -> None:
        if not set(scopes).issubset(caller.claims.scopes):
            raise AccessDenied("insufficient_scope", "the token lacks a required scope", scopes=scopes)

    return Guard(condition, scopes)


def require_role(*roles: str) -> Guard:
    """Ask for any one of these in ``Principal.roles``: global ones, never those in an organization."""
    _named("role", roles)
    wanted = {role.casefold() for role in roles}

    def condition(caller: Principal) -> None:
        if wanted.isdisjoint(role.casefold() for role in caller.roles):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


def require_org_role(*roles: str, org: str | None = None) -> Guard:
    """Ask for any one of these roles in the token's organization, which must be ``org`` if one is named."""
    _named("role", roles)
    wanted = {role.casefold() for role in roles}

    def condition(caller: Principal) -> None:
        claims = caller.claims
        right_org = claims.org is not None and org in {None, claims.org}
        if not right_org or wanted.isdisjoint(role.casefold() for role in claims.org_roles):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


def require_entitlement(*entitlements: str) -> Guard:
    """Ask for any one of these entitlements."""
    _named("entitlement", entitlements)

    def condition(caller: Principal) -> None:
        if not any(map(caller.claims.has_entitlement, entitlements)):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


def require_admin(*, role: str = "admin") -> Guard:
    """Ask the host's own records, at this moment, whether the caller has this global role.

    What the token says of roles never counts: a demotion takes effect with the next request. A caller whose
    issuer the records do not know, or whose token is for an organization, is nobody's admin. Raises
    RuntimeError when the middleware has no ``enrichment`` to ask.
    """

    def needs(gate: Gate | None) -> None:
        if gate is None or gate.enricher is None:
            raise RuntimeError("require_admin asks the host's records: give AuthMiddleware(enrichment=...)")

    async def condition(caller: Principal) -> None:
        enricher = caller.gate.enricher if caller.gate is not None else None
        if enricher is None or not await enricher.confirms(caller.claims, role):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition, needs=needs)


def require_recent_login(*, max_age: int, clock: Callable[[], float] = time.time) -> Guard:
    """Ask that the caller signed in within ``max_age`` seconds (RFC 9470: the client is told to ask again).

    It is the token's ``auth_time`` that counts, and a token without one is refused. ``clock`` is Unix time.
    """

    def condition(caller: Principal) -> None:
        signed_in = caller.claims.auth_time
        if signed_in is None or clock() - signed_in > max_age:
            raise AccessDenied(
                "insufficient_user_authentication", "the sign-in is too long ago", max_age=max_age
            )

    return Guard(condition)


def fresh_keys(*, max_age: float) -> Guard:
    """Ask that the issuer itself confirmed the keys within ``max_age`` seconds; answer 503 otherwise.

    For routes that must not act on a key the issuer may have withdrawn during an outage. Where its last word
    is older the issuer is asked, at most as often as for unknown key ids, and the caller passes if the keys
    are still the same. Pinned ones, and those kept because the newest document was unusable, are not
    confirmed.
    """

    async def confirm(caller: Principal) -> None:
        gate, key_set, issuer = caller.gate, caller.key_set, caller.claims.issuer
        if gate is None or key_set is None or not await gate.verifier.confirmed(issuer, key_set, max_age):
            raise AccessDenied("keys_unavailable", "the issuer's keys were not confirmed recently enough")

    def condition(caller: Principal) -> Awaitable[None] | None:
        keys = caller.keys
        fresh = keys.source in {"fresh", "stale"} and keys.age <= max_age
        return None if fresh else confirm(caller)

    return Guard(condition)


def _named(what: str, names: tuple[str, ...]) -> None:
    if not names:  # nothing asked for would let everybody through
        raise ValueError(f"name at least one {what}")
