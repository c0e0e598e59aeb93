"""Guards for parts of an application behind ``AuthMiddleware``: conditions on the caller.

A guard wraps any ASGI application: ``require_scope("read")(app)``, or in Starlette
``Mount("/reports", app=..., middleware=[Middleware(require_scope("read"))])``. In FastAPI it is a dependency:
``Depends(require_scope("read"))``. It reads the caller that the middleware admitted and verifies no token. It
answers 401 without a caller and 403 to the wrong one. Inside a handler,
``await require_scope("read").check(request.scope)`` raises the same refusal as ``AccessDenied``.
``required_scopes`` compares those of the token, ``challenge`` has the status of each refusal.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib import import_module
from types import ModuleType
from typing import Any, Generic, ParamSpec

from authkit_verify._asgi.applications import require_application
from authkit_verify._asgi.authenticator import (
    Authenticator,
    authenticator_of,
    refusal_for,
)
from authkit_verify._asgi.challenge import DENIED, AccessDenied, send_refusal
from authkit_verify._asgi.principal import Principal, principal_of
from authkit_verify._asgi.required_scopes import refuse_missing_scopes
from authkit_verify._asgi.types import Receive, Scope, Send

P = ParamSpec("P")

_FORBIDDEN = "the caller may not do this"

Condition = Callable[[Principal, Authenticator | None], Awaitable[None] | None]
"""Raises AccessDenied, or returns None or an awaitable that does either."""


_INSTEAD = (
    "In FastAPI write dependencies=[Depends(guard)], or Security(bearer.where(guard)); in Django and Flask "
    "@require(guard); inside any other handler await guard.check(request.scope)."
)


class _Signature:
    """The signature that FastAPI reads of a guard, and no other reader of the class."""

    def __get__(self, guard: object | None, _owner: type) -> inspect.Signature:
        if guard is None or "fastapi" not in sys.modules:
            raise AttributeError("__signature__")
        signature: inspect.Signature = _fastapi().GUARD_SIGNATURE
        return signature


def _fastapi() -> ModuleType:
    return import_module("authkit_verify.fastapi")  # only once FastAPI itself asks: it is optional


class Guard:
    """One condition on the caller of a request.

    Wraps an ASGI application when called with it; ``check`` asks inside a handler. In FastAPI it is a
    dependency whose value is the ``Principal``, behind ``AuthMiddleware`` or after a ``Bearer``.

    Args:
        condition: Raises AccessDenied about a caller who may not pass.
        scopes: The scopes that a challenge names. Default none.
        needs: Called before the caller is looked at, so that a wrong setup shows at the first request.
            Default None.
    """

    __signature__ = _Signature()

    def __init__(
        self,
        condition: Condition,
        scopes: tuple[str, ...] = (),
        *,
        needs: Callable[[Authenticator | None], None] | None = None,
    ) -> None:
        self._condition = condition
        self._scopes = scopes
        self._needs = needs
        # FastAPI looks here for what it awaits; Python calls the method of the class in any case.
        self.__dict__["__call__"] = self._admit

    async def check(self, scope: Mapping[str, Any]) -> Principal:
        """Return the caller of this request if the condition holds. Raises AccessDenied if not."""
        try:
            return await self.require(principal_of(scope), authenticator_of(scope))
        except AccessDenied as error:
            if isinstance(scope, MutableMapping):
                scope[DENIED] = error  # a framework may turn the exception into a 500: see LeasedAnswer
            raise

    async def require(self, caller: Principal | None, authenticator: Authenticator | None) -> Principal:
        """Return this caller if the condition holds. Raises AccessDenied if not.

        ``authenticator`` is the one that admitted the caller, or would have.
        """
        if self._needs is not None:
            self._needs(authenticator)
        if caller is None:
            raise AccessDenied("missing_token", "this needs an access token", scopes=self._scopes)
        outcome = self._condition(caller, authenticator)
        if outcome is not None:
            await outcome
        return caller

    # Every framework has its own words for the three arguments, and a guard goes between any two of them.
    def __call__(self, app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return ``app`` behind this guard; what is neither http nor websocket passes.

        Raises:
            TypeError: ``app`` is no ASGI application but, for example, the endpoint of a route.
        """
        if isinstance(app, Mapping):  # a connection: FastAPI resolves the dependency, and awaits the answer
            return self._admit(app)  # type: ignore[unreachable]
        require_application(app, "a guard", _INSTEAD)

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in {"http", "websocket"}:
                try:
                    await self.check(scope)
                except AccessDenied as error:
                    await send_refusal(scope, receive, send, refusal_for(scope, error))
                    return
            await app(scope, receive, send)

        return guarded

    async def _admit(self, app: Any) -> Principal:
        """Resolve the dependency: ``app`` is the connection, by the one parameter of ``__call__``."""
        scope: Scope = app.scope
        if authenticator_of(scope) is None:
            raise RuntimeError(
                "no token was verified before this guard: add AuthMiddleware, or list a Bearer before it"
            )
        try:
            return await self.check(scope)
        except AccessDenied as error:
            raise _fastapi().fastapi_error(scope, refusal_for(scope, error)) from error


class _Maker(Generic[P]):
    """A function that makes guards. As a dependency it would make one for each request, and ask none."""

    def __init__(self, make: Callable[P, Guard]) -> None:
        self._make = make
        functools.update_wrapper(self, make)

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> Guard:
        return self._make(*arguments, **named)

    def __repr__(self) -> str:
        return repr(self._make)

    @property
    def __signature__(self) -> inspect.Signature:
        name = self._make.__name__
        if "fastapi" in sys.modules:  # which reads it of each dependency, when the route is made
            raise TypeError(f"{name} makes a guard, and is none: write Depends({name}(...))")
        return inspect.signature(self._make)


def _maker(make: Callable[P, Guard]) -> Callable[P, Guard]:
    return _Maker(make)


def require_guards(caller: str, guards: tuple[object, ...]) -> None:
    """Raise TypeError for what is no guard, such as a scope, or a view of a decorator without parentheses."""
    for guard in guards:
        if not isinstance(guard, Guard):
            raise TypeError(f"{caller}() takes guards, as in {caller}(require_login()), not {guard!r}")


@_maker
def require_login() -> Guard:
    """Require a valid token, and nothing else of the caller."""
    return Guard(lambda _caller, _authenticator: None)


@_maker
def require_scope(*scopes: str) -> Guard:
    """Require every one of these scopes of the token."""
    _named("scope", scopes)

    return Guard(lambda caller, _: refuse_missing_scopes(caller, scopes), scopes)


@_maker
def require_role(*roles: str) -> Guard:
    """Require any one of these global roles (``Principal.roles``), whatever their case.

    Roles in an organization never count here; see ``require_org_role``.
    """
    _named("role", roles)
    wanted = {role.casefold() for role in roles}

    def condition(caller: Principal, _: Authenticator | None) -> None:
        if wanted.isdisjoint(role.casefold() for role in caller.roles):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


@_maker
def require_org_role(*roles: str, org: str | None = None) -> Guard:
    """Require any one of these roles in the token's organization, whatever their case.

    Args:
        roles: The roles; at least one.
        org: The only organization that counts. Default None: the token's, whichever it is.

    """
    _named("role", roles)
    wanted = {role.casefold() for role in roles}

    def condition(caller: Principal, _: Authenticator | None) -> None:
        claims = caller.claims
        right_org = claims.org is not None and org in {None, claims.org}
        if not right_org or wanted.isdisjoint(role.casefold() for role in claims.org_roles):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


@_maker
def require_permission(*permissions: str) -> Guard:
    """Require every one of these permissions (``Claims.permissions``), spelled exactly so."""
    _named("permission", permissions)

    def condition(caller: Principal, _: Authenticator | None) -> None:
        if not set(permissions).issubset(caller.claims.permissions):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


@_maker
def require_entitlement(*entitlements: str) -> Guard:
    """Require any one of these entitlements, whatever their case."""
    _named("entitlement", entitlements)

    def condition(caller: Principal, _: Authenticator | None) -> None:
        if not any(map(caller.claims.has_entitlement, entitlements)):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition)


@_maker
def require_admin(*, role: str = "admin") -> Guard:
    """Require this global role in the host's own records, read at this moment.

    The roles of the token never count: a demotion takes effect with the next request. A caller whose issuer
    the records do not know, or whose token is for an organization, is refused.

    The guard raises RuntimeError at the first request if the middleware has no ``enrichment`` to ask.
    """

    def needs(authenticator: Authenticator | None) -> None:
        if authenticator is None or authenticator.enricher is None:
            raise RuntimeError("require_admin asks the host's records: give AuthMiddleware(enrichment=...)")

    async def condition(caller: Principal, authenticator: Authenticator | None) -> None:
        # Only about a caller whom this authenticator's verifier accepted: the same sub may mean two users.
        known = authenticator is not None and caller.verifier is authenticator.verifier
        enricher = authenticator.enricher if authenticator is not None and known else None
        if enricher is None or not await enricher.confirms(caller.claims, role):
            raise AccessDenied("forbidden", _FORBIDDEN)

    return Guard(condition, needs=needs)


@_maker
def require_recent_login(*, max_age: int, clock: Callable[[], float] = time.time) -> Guard:
    """Require a sign-in within the last ``max_age`` seconds, by the token's ``auth_time``.

    A token without ``auth_time`` is refused. The challenge asks the client to sign the user in again
    (RFC 9470). ``clock`` returns Unix seconds.
    """

    def condition(caller: Principal, _: Authenticator | None) -> None:
        signed_in = caller.claims.auth_time
        if signed_in is None or clock() - signed_in > max_age:
            raise AccessDenied(
                "insufficient_user_authentication", f"the sign-in is older than {max_age} s", max_age=max_age
            )

    return Guard(condition)


@_maker
def fresh_keys(*, max_age: float) -> Guard:
    """Require that the issuer confirmed the keys within the last ``max_age`` seconds; else answer 503.

    For routes that must not act on a key that the issuer may have withdrawn during an outage. If the last
    confirmation is older, the guard asks the issuer, at most as often as for unknown key ids; the caller
    passes if the keys are still the same. Pinned keys, and keys kept because the newest document was
    unusable, do not count as confirmed. For an opaque token the answer of its issuer must not be older:
    set ``Introspection.max_ttl`` to ``max_age`` or less.
    """

    async def confirm(caller: Principal) -> None:
        verifier, key_set, issuer = caller.verifier, caller.key_set, caller.claims.issuer
        if verifier is None or key_set is None or not await verifier.confirmed(issuer, key_set, max_age):
            raise AccessDenied("keys_unavailable", "the issuer's keys were not confirmed recently enough")

    def condition(caller: Principal, _: Authenticator | None) -> Awaitable[None] | None:
        keys = caller.keys
        fresh = keys.source in {"fresh", "stale", "introspection"} and keys.age <= max_age
        return None if fresh else confirm(caller)

    return Guard(condition)


def _named(what: str, names: tuple[str, ...]) -> None:
    if not names:  # a guard that asks for nothing would let every caller through
        raise ValueError(f"name at least one {what}: a guard without one would let every caller through")
