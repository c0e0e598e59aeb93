"""Guards on the views of Django: functions, classes and coroutines."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.views import View

from authkit_verify._asgi.challenge import AccessDenied
from authkit_verify._asgi.guards import Guard, require_guards
from authkit_verify._asgi.principal import Principal
from authkit_verify.django.middleware import response_of
from authkit_verify.django.protection import protection
from authkit_verify.django.request import plain
from authkit_verify.errors import TokenError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
"""A view: a function, a method or a class."""

_REGISTERED = ("_ninja_operation", "OPERATION_ENDPOINT_KEY", "_routablepage_routes")
"""What the decorators of routes leave on a view that they have registered, and call without a guard above it:
those of django-ninja, of controllers of django-ninja-extra, and of routable pages of Wagtail."""


def require(*guards: Guard) -> Callable[[Decorated], Decorated]:
    """Return a decorator: the view is called only for a caller whom every guard lets pass.

    Without guards a valid token is enough. It protects functions, coroutines, methods, and whole classes of
    views, behind ``AuthMiddleware`` or, by the same setting ``AUTHKIT``, without it.

    Args:
        guards: The guards, such as ``require_scope("orders:read")``.

    Raises:
        TypeError: What is given is no guard, what is decorated is no view, or it is above the decorator of a
            route of django-ninja, django-ninja-extra or Wagtail, where it would protect nothing.
    """
    require_guards("require", guards)

    def decorate(view: Any) -> Any:
        is_class = isinstance(view, type)
        if not callable(view) or (is_class and not issubclass(view, View)):
            raise TypeError(f"require() protects a view, not {view!r}")
        if any(hasattr(view, mark) for mark in _REGISTERED):
            raise TypeError(
                f"require() protects a view below the decorator of its route, not {view!r} above it"
            )
        if is_class:
            view.dispatch = _guarded(view.dispatch, guards, awaited=view.view_is_async)
            return view
        awaited = iscoroutinefunction(view)  # pyright: ignore[reportDeprecated] # the one that Django marks for
        return _guarded(view, guards, awaited=awaited)

    return decorate


def _guarded(view: Callable[..., Any], guards: tuple[Guard, ...], *, awaited: bool) -> Callable[..., Any]:
    @functools.wraps(view)
    def guarded(*arguments: Any, **named: Any) -> Any:
        request = _request_among(arguments, named)
        try:
            protection().check(request, guards)
        except (TokenError, AccessDenied) as error:
            return response_of(protection().refuse(request, error))
        return view(*arguments, **named)

    @functools.wraps(view)
    async def guarded_coroutine(*arguments: Any, **named: Any) -> Any:
        request = _request_among(arguments, named)
        try:
            await protection().acheck(request, guards)
        except (TokenError, AccessDenied) as error:
            return response_of(protection().refuse(request, error))
        answer = view(*arguments, **named)
        return await answer if isawaitable(answer) else answer

    return guarded_coroutine if awaited else guarded


def _request_among(arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Return the request that a view is called with: its first argument, that of a method, or ``request``.

    django-ninja-extra gives it to the methods of its controllers by name.
    """
    for argument in (*arguments[:2], named.get("request")):
        if isinstance(plain(argument), HttpRequest):
            return argument
    raise TypeError("require() protects a view, which is called with a request of Django")


def check(request: HttpRequest, *guards: Guard) -> Principal:
    """Return the caller of this request if every guard lets it pass; without guards, any caller.

    ``AuthMiddleware`` answers the refusal. In a coroutine use ``acheck``, which does not block.

    Raises:
        AccessDenied: A guard refuses the caller, or no token came.
        TokenError: The token is refused; only without ``AuthMiddleware``.
    """
    return protection().check(request, guards)


async def acheck(request: HttpRequest, *guards: Guard) -> Principal:
    """Return the caller of this request, as ``check`` does, in a coroutine."""
    return await protection().acheck(request, guards)


def principal_of(request: HttpRequest) -> Principal | None:
    """Return the caller whom the issuers of ``AUTHKIT`` have admitted, or None."""
    return protection().caller_of(request)
