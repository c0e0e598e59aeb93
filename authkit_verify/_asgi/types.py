"""The types of ASGI 3, and the path that an application routes on.

Only the standard library: protecting a plain ASGI application needs no framework.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def is_routed(scope: Scope) -> bool:
    """True where Litestar has cut ``root_path`` off ``path``: among the middlewares of its handlers."""
    return scope.get("route_handler") is not None and not is_mounted(scope)


def is_mounted(scope: Scope) -> bool:
    """True below a mount of Litestar, which cuts its path off and does not add it to ``root_path``."""
    return bool(getattr(scope.get("route_handler"), "is_mount", False))


def raw_path(scope: Scope) -> str:
    """Return the path as the client has encoded it; empty if the server does not tell."""
    raw: bytes = scope.get("raw_path") or b""
    return raw.decode("latin-1").partition("?")[0]


def raw_path_of_wsgi(environ: Mapping[str, Any]) -> bytes:
    """Return the ``raw_path`` of a WSGI request; empty if the server does not tell.

    gunicorn has it in ``RAW_URI``, and most other servers in ``REQUEST_URI``.
    """
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return target.partition("?")[0].encode("latin-1", "replace")


def whole_path(scope: Scope) -> str:
    """Return the decoded path of a request, with ``root_path`` if the server repeats it."""
    path: str = scope["path"]
    return unquote(raw_path(scope)) if is_mounted(scope) else path


def route_path(scope: Scope) -> str:
    """Return the decoded path below ``root_path``, the part that an application routes on.

    Servers disagree on whether ``path`` repeats ``root_path``; a prefix is removed only where it ends at a
    segment border, so that ``/apiary`` is not read as ``/api`` + ``ary``. Starlette cuts at the same places:
    with Daphne a client chooses ``root_path``, and must not choose another path here than there.
    """
    path, root = whole_path(scope), scope.get("root_path") or ""
    if root and path.startswith(root) and not is_routed(scope):
        rest = path[len(root) :]
        if not rest or rest[0] == "/":
            return rest or "/"
    return path
