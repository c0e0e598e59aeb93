"""The requests that pass without a token: those to excluded paths, and CORS preflights."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from urllib.parse import unquote

from authkit_verify._asgi.types import (
    Message,
    Receive,
    Scope,
    Send,
    is_mounted,
    is_routed,
    raw_path,
    route_path,
    whole_path,
)

# Compiled at its first use. The percent sign of a slash, or of a character that no client has to encode
# (RFC 3986, 2.3).
_NEEDLESS = r"(?i)%(?=2[def]|3[0-9]|[46][1-9a-f]|[57][0-9a]|5f|7e)"
_UNCERTAIN = frozenset(map(chr, (*range(0x20), 0x7F, 0xFFFD)))
"""Control characters, and what stands for bytes that are not UTF-8: Bottle leaves those out of a path."""


class PathSet:
    """Decoded paths below ``root_path``: exact ones, and subtrees spelled ``/docs/*``.

    ``/docs/*`` holds every path below ``/docs/``, and neither ``/docs`` nor ``/docs/``, which are one route
    to some frameworks: it holds ``/docs/`` if ``/docs`` is listed too. There are no other patterns. A path
    that frameworks read differently is in the set only if it is in it by each reading.

    Args:
        patterns: The paths.
        slash_counts: True where ``/docs/`` is another route than ``/docs``, as in Django: it is then in
            ``/docs/*``. Default False.
    """

    __slots__ = ("_exact", "_slash_counts", "_trees")

    def __init__(self, patterns: Iterable[str] = (), *, slash_counts: bool = False) -> None:
        if isinstance(patterns, str):
            raise ValueError(f"exclude must be a list of paths, not the single string {patterns!r}")  # noqa: TRY004 - every mistake here is a ValueError
        exact: set[str] = set()
        trees: set[str] = set()
        for pattern in patterns:
            if not pattern.startswith("/"):
                raise ValueError(f"exclude: a path starts with '/', not {pattern!r}")
            stem = pattern[:-1] if pattern.endswith("/*") else pattern
            if "*" in stem:
                raise ValueError(f"exclude: '*' is allowed only at the end, as '/*', not {pattern!r}")
            (trees if stem != pattern else exact).add(stem)
        self._exact = frozenset(exact)
        self._trees = tuple(sorted(trees))
        self._slash_counts = slash_counts

    def __bool__(self) -> bool:
        return bool(self._exact or self._trees)

    def __contains__(self, scope: Scope) -> bool:
        """True if the path of this request is in the set."""
        if not self._holds(scope) or not _is_plain_root(scope.get("root_path") or "/"):
            return False
        if is_mounted(scope):
            # The scope does not say if this is a middleware of Litestar, or one of the mounted application,
            # which routes on what is left of the path: both paths have to be in the set.
            return self._holds({**scope, "route_handler": None})
        # Sanic and BlackSheep route on the encoded path, in which "/%64ocs/x" is not below "/docs/".
        spelled = _as_spelled(scope)
        return spelled is None or self._holds({**scope, "path": spelled})

    def _holds(self, scope: Scope) -> bool:
        path = route_path(scope)
        if path in self._exact:
            return not _holds_root(scope)
        if not path.startswith(self._trees):  # nearly every request
            return False
        return not _holds_root(scope) and _is_plain(path) and (self._slash_counts or self._holds_bare(path))

    def _holds_bare(self, path: str) -> bool:
        """True if the path is in the set without the slashes at its end, as Litestar and Sanic read it."""
        bare = path.rstrip("/") or "/"
        return bare in self._exact or bare.startswith(self._trees)


def _as_spelled(scope: Scope) -> str | None:
    """Return the path decoded but for what needs no encoding, and slashes; None where that is the path."""
    # Granian passes on what a client has to encode as it came, and decodes it in the path.
    raw = raw_path(scope).encode("latin-1").decode("utf-8", "replace")
    if "%" not in raw:
        return None
    # gunicorn's uwsgi protocol tells the path as nginx has normalized it, and its bytes as Latin-1.
    told = {posixpath.normpath(unquote(raw, one)) for one in ("utf-8", "latin-1")}
    if raw.isascii() and posixpath.normpath(scope["path"]) not in told:  # a middleware has rewritten the path
        return None
    return unquote(re.sub(_NEEDLESS, "%25", raw))


def _is_plain(path: str) -> bool:
    """True if no later layer normalizes the path away: "/docs/../admin" is not in /docs."""
    again = unquote(path)  # by an application that decodes it once more
    return "\\" not in again and {".", ".."}.isdisjoint(again.split("/")) and _UNCERTAIN.isdisjoint(again)


def _is_plain_root(root: str) -> bool:
    """True for a root that every framework cuts off alike; with Daphne and gunicorn, clients choose it."""
    return root == "/" or (root.startswith("/") and "//" not in root and _is_plain(root))


def _holds_root(scope: Scope) -> bool:
    """True if ``root_path`` is in the path, and not cut off at its start by every framework."""
    # Litestar routes on what follows the first one, Quart on what follows it without a border of segments:
    # below "/api", "/docs/api/admin" is "/admin", and so is "/docs/admin" below "/docs/".
    path, root = whole_path(scope), scope.get("root_path") or ""
    return (
        root not in {"", "/"}
        and root.rstrip("/") in path
        and route_path(scope) == path
        and not is_routed(scope)
    )


_OVERRIDES = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
"""By these, an application further in may take an OPTIONS for a DELETE. No preflight of a browser has one."""


def is_preflight(scope: Scope) -> bool:
    """True for a CORS preflight: OPTIONS with an origin and a requested method.

    A preflight never carries credentials (Fetch standard, 4.8), so it must pass. Any other OPTIONS is an
    ordinary request and must not bypass the check, and neither must one that overrides its method.
    """
    if scope["method"] != "OPTIONS":
        return False
    # A WSGI application further in reads X_HTTP_Method_Override as well.
    names = {name.replace(b"_", b"-") for name, _ in scope["headers"]}
    asks = b"origin" in names and b"access-control-request-method" in names
    return asks and _OVERRIDES.isdisjoint(names)


def passes_unasked(scope: Scope, exclude: PathSet) -> bool:
    """True for a preflight that passes without a token, where every other request for its path needs one."""
    return is_preflight(scope) and scope not in exclude


_BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})


def without_bodies(scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Return the two directions of a preflight that passes without a token, without its bodies.

    No browser sends or reads one. An application that answers every method alike would act on the one, and
    disclose the other. The headers stay those that ``is_preflight`` has seen: uvicorn with httptools adds the
    fields of the trailer to its list, after the body, and an application further in may find an override.
    """
    scope["headers"] = list(scope["headers"])

    async def receive_head() -> Message:
        message = await receive()
        return {**message, "body": b""} if message["type"] == "http.request" else message

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers") or ()
            message = {**message, "headers": [one for one in headers if one[0].lower() != b"content-length"]}
        elif message["type"] in _BODIES:
            more = message.get("more_body", False)
            message = {"type": "http.response.body", "body": b"", "more_body": more}
        await send(message)

    return receive_head, send_head
