"""The words of ASGI 3 that the middleware uses, and which paths it leaves alone.

Only the standard library: a plain ASGI application needs no framework to be protected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def route_path(scope: Scope) -> str:
    """Return the decoded path below ``root_path``, the part an application routes on.

    Servers disagree on whether ``path`` repeats ``root_path``; a prefix is removed only where it ends at a
    segment border, so that ``/apiary`` is never read as ``/api`` + ``ary``.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if root and path.startswith(root):
        rest = path[len(root) :]
        if not rest or rest[0] == "/" or root[-1] == "/":
            return rest if rest.startswith("/") else "/" + rest
    return path


class PathSet:
    """Decoded paths below ``root_path``: exact ones, and subtrees spelled ``/docs/*``.

    ``/docs/*`` holds everything below ``/docs/`` and not ``/docs`` itself. Nothing else is a pattern.
    """

    __slots__ = ("_exact", "_trees")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        if isinstance(patterns, str):
            raise ValueError("paths are given as a sequence of strings, not as one string")  # noqa: TRY004 - every mistake here is a ValueError
        exact: set[str] = set()
        trees: set[str] = set()
        for pattern in patterns:
            if not pattern.startswith("/"):
                raise ValueError(f"a path starts with '/': {pattern!r}")
            stem = pattern[:-1] if pattern.endswith("/*") else pattern
            if "*" in stem:
                raise ValueError(f"'*' stands only at the end, as '/*': {pattern!r}")
            (trees if stem != pattern else exact).add(stem)
        self._exact = frozenset(exact)
        self._trees = tuple(sorted(trees))

    def __bool__(self) -> bool:
        return bool(self._exact or self._trees)

    def __contains__(self, scope: Scope) -> bool:
        """Tell whether the path of this request is in the set."""
        path = route_path(scope)
        if path in self._exact:
            return True
        return bool(self._trees) and path.startswith(self._trees) and not _climbs(path)


def _climbs(path: str) -> bool:
    # A wildcard must not cover what a later hand normalizes out of it: "/docs/../admin" is not under /docs.
    return "\\" in path or any(part in {".", ".."} for part in path.split("/"))


def is_preflight(scope: Scope) -> bool:
    """Tell whether this is a real CORS preflight: OPTIONS with an origin and an announced method.

    A preflight never carries credentials (Fetch standard, 4.8), so it must pass; any other OPTIONS is an
    ordinary request and must not become a way past the check.
    """
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names
