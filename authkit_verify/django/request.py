"""A request of Django as an ASGI scope, in which the caller is kept."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from authkit_verify._asgi.types import raw_path_of_wsgi

_KEPT = "_authkit_scope"
_OF_WSGI = "authkit.scope"
"""Where ``authkit_verify.wsgi.AuthMiddleware`` keeps the scope of a request that it has admitted."""


def scope_of(request: Any) -> dict[str, Any]:
    """Return the scope of a request of Django or of REST framework: the same one each time."""
    own: HttpRequest = plain(request)
    scope: dict[str, Any] | None = getattr(own, _KEPT, None)
    if scope is None:
        scope = own.META.get(_OF_WSGI) or _scope(own)
        setattr(own, _KEPT, scope)
    return scope


def plain(request: Any) -> Any:
    """Return the request of Django, which REST framework wraps in one of its own."""
    return getattr(request, "_request", request)


def _scope(request: HttpRequest) -> dict[str, Any]:
    served = getattr(request, "scope", None)
    scope = _of_wsgi(request) if served is None else dict(served)
    # Django knows which proxies to believe about the scheme, and the prefix that it does not route on. It
    # leaves the slashes at the end of the prefix out of ``request.path`` under WSGI, and not under ASGI:
    # gunicorn and Daphne take the prefix from a header of the client, who must not choose another path here.
    root: str = request.META.get("SCRIPT_NAME", "")
    root = root.rstrip("/") if served is None else root
    return {**scope, "scheme": request.scheme, "root_path": root, "state": dict(scope.get("state") or {})}


def _of_wsgi(request: HttpRequest) -> dict[str, Any]:
    meta, peer = request.META, request.META.get("REMOTE_ADDR")
    headers: Any = request.headers
    return {
        "type": "http",
        "method": request.method,
        # Not those of the environ: Django has decoded the paths in it.
        "path": request.path,
        "raw_path": raw_path_of_wsgi(meta),
        "query_string": meta.get("QUERY_STRING", "").encode("latin-1", "replace"),
        "server": (meta.get("SERVER_NAME"), meta.get("SERVER_PORT")),
        "client": (peer, 0) if peer else None,
        "headers": [
            (name.lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
            for name, value in headers.items()
        ],
        "extensions": {},
    }
