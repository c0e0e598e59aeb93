"""Flask: the middleware in front of an application, and guards on its views.

    auth = Auth(app, SyncVerifier(...), required=False)

    @app.get("/orders")
    @auth.require(require_scope("orders:read"))
    def orders():
        return f"The orders of {auth.caller.identity}"

Views may be coroutines, with Flask's extra ``async``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from flask import Flask, Response, request

from authkit_verify._asgi.challenge import AccessDenied
from authkit_verify._asgi.guards import Guard, require_guards, require_login
from authkit_verify._asgi.principal import Principal
from authkit_verify._verify.sync_verifier import SyncVerifier
from authkit_verify.errors import TokenError
from authkit_verify.wsgi.middleware import AuthMiddleware, check, principal_of, refusal_of, text_headers

__all__ = ["Auth"]

View = TypeVar("View", bound=Callable[..., Any])


class Auth:
    """Protects a Flask application.

    Args:
        app: The application; its ``wsgi_app`` is wrapped.
        verifier: The verifier of the tokens. The host closes it.
        options: The other arguments of ``AuthMiddleware``, such as ``required`` and ``exclude``.
    """

    def __init__(self, app: Flask, verifier: SyncVerifier, **options: Any) -> None:
        self._app = app
        app.wsgi_app = AuthMiddleware(app.wsgi_app, verifier, **options)  # type: ignore[method-assign]
        app.register_error_handler(AccessDenied, _refused)
        app.register_error_handler(TokenError, _refused)
        # By identity. Weak: flask-restful and flask-restx decorate the method of a resource at each request.
        self._unguarded: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self._guarded: WeakValueDictionary[int, Any] = WeakValueDictionary()
        app.before_request(self._check_registered)

    @property
    def caller(self) -> Principal | None:
        """The caller of the current request; None without a token."""
        return principal_of(request.environ)

    def require(self, *guards: Guard) -> Callable[[View], View]:
        """Return a decorator: the view is called only for a caller whom every guard lets pass.

        Without guards a valid token is enough. It goes below the decorator of the route. Above that of a
        blueprint, requests to the view fail with TypeError: what is guarded has no other, open route. A class
        of views takes it in ``decorators``, or on its methods.

        Raises:
            TypeError: What is given is no guard, the view is a class, or it is registered already: above the
                route's decorator it would protect nothing.
        """
        require_guards("require", guards)
        needed = guards or (require_login(),)

        def decorate(view: View) -> View:
            # The decorator of a route below has registered it, with its as_view().
            if isinstance(view, type):
                raise TypeError(
                    f"require() protects a function, not the class {view.__qualname__}: write in the class "
                    "decorators = [auth.require(...)]"
                )
            layers = list(_layers(view))
            registered = map(self._layers_without_guard, self._app.view_functions.values())
            if not callable(view) or any(one in layers for one in chain.from_iterable(registered)):
                raise _misplaced(view)
            self._unguarded |= {id(one): one for one in layers}

            @functools.wraps(view)
            def guarded(*arguments: Any, **named: Any) -> Any:
                check(request.environ, *needed)
                return self._app.ensure_sync(view)(*arguments, **named)

            self._guarded[id(guarded)] = guarded
            return guarded  # type: ignore[return-value]

        return decorate

    def _check_registered(self) -> None:
        """Refuse a view that was registered without its guard: a blueprint registers its own ones later."""
        view = self._app.view_functions.get(request.endpoint or "")
        for one in chain([view], *self._app.before_request_funcs.values()):
            if any(id(layer) in self._unguarded for layer in self._layers_without_guard(one)):
                raise _misplaced(one)

    def _layers_without_guard(self, view: Any) -> Iterator[Any]:
        """Yield a registered view and what it wraps, down to the guard around the rest, if there is one.

        The decorators of routes of flask-openapi3 and flask-rebar register a wrapper, and return the view.
        """
        for one in _layers(view):
            yield one
            if id(getattr(one, "__func__", one)) in self._guarded:  # or a method of that
                return


def _layers(view: Any) -> Iterator[Any]:
    """Yield a view and what its decorators wrap, each of which may be what a route has registered."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)


def _misplaced(view: object) -> TypeError:
    return TypeError(f"require() protects a view below the decorator of its route, not {view!r} above it")


def _refused(error: Exception) -> Response:
    assert isinstance(error, AccessDenied | TokenError)  # noqa: S101 - registered for these two
    refusal = refusal_of(request.environ, error)
    return Response(refusal.body, refusal.status, text_headers(refusal))
