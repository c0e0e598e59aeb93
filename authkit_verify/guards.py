"""Guards for parts of an application behind ``AuthMiddleware``: who may come through here.

A guard wraps any ASGI application: ``require_scope("read")(app)``, or in Starlette
``Mount("/reports", app=..., middleware=[Middleware(require_scope("read"))])``. It reads what the middleware
found out and judges no token. Without a caller it answers 401, to the wrong one 403.
"""

from __future__ import annotations

from collections.abc import Callable

from authkit_verify.asgi import ASGIApp, Receive, Scope, Send
from authkit_verify.challenge import AccessDenied, Challenge, send_refusal
from authkit_verify.principal import Principal, gate_of, principal_of

_FORBIDDEN = "the caller may not do this"


class Guard:
    """One condition on the caller. ``check`` raises AccessDenied, or returns the caller."""

    __slots__ = ("_condition", "_scopes")

    def __init__(self, condition: Callable[[Principal], None], scopes: tuple[str, ...] = ()) -> None:
        self._condition = condition
        self._scopes = scopes

    def check(self, scope: Scope) -> Principal:
        """Return the caller of this request if the condition holds. Raises AccessDenied if not."""
        caller = principal_of(scope)
        if caller is None:
            raise AccessDenied("missing_token", "this needs an access token", scopes=self._scopes)
        self._condition(caller)
        return caller

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return ``app`` behind this guard; what is neither http nor websocket passes."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in {"http", "websocket"}:
                try:
                    self.check(scope)
                except AccessDenied as error:
                    gate = gate_of(scope)
                    challenge = gate.challenge if gate is not None else Challenge()
                    await send_refusal(scope, receive, send, challenge.refuse(error))
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
    """Ask for any one of these global roles. Roles in an organisation never count."""
    _named("role", roles)

    def condition(caller: Principal) -> None:
        if not any(map(caller.claims.has_role, roles)):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


def require_org_role(*roles: str, org: str | None = None) -> Guard:
    """Ask for any one of these roles in the token's organisation, which must be ``org`` if one is named."""
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


def fresh_keys(*, max_age: float) -> Guard:
    """Ask that the issuer itself confirmed the keys within ``max_age`` seconds; answer 503 otherwise.

    For routes that must not act on a key the issuer may have withdrawn during an outage. Keys kept because
    the newest document was unusable, and pinned ones, are not confirmed.
    """

    def condition(caller: Principal) -> None:
        keys = caller.keys
        if keys.source in {"last_known_good", "pinned"} or keys.age > max_age:
            raise AccessDenied("keys_unavailable", "the issuer's keys were not confirmed recently enough")

    return Guard(condition)


def _named(what: str, names: tuple[str, ...]) -> None:
    if not names:  # nothing asked for would let everybody through
        raise ValueError(f"name at least one {what}")
