"""Which pages of other origins may call (Fetch standard, section 3.2): those that the configuration names.

Public documents may be read by every page; nothing else is open unless ``cors_origins`` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import Scope

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.http.raw_response import Headers

ALLOWED = "authkit.allowed_origin"
"""The key of the scope under which the edge leaves a list: the origin of a page that may call, or none."""

ANY_ORIGIN: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"etag, x-request-id"),
)
_READING: Headers = (
    (b"access-control-allow-methods", b"GET, HEAD"),
    # No credentials are involved; clients of MCP send a header of their own.
    (b"access-control-allow-headers", b"*"),
)
_PREFLIGHT_LIFE = (b"access-control-max-age", b"7200")
_CALLING = b"authorization, content-type, if-none-match, x-request-id"
_EXPOSED = (
    b"etag, retry-after, www-authenticate, x-request-id, "
    b"ratelimit-limit, ratelimit-remaining, ratelimit-reset, ratelimit-policy"
)


class Origins:
    """The origins of one deployment."""

    def __init__(self, config: Config) -> None:
        """Take the list; where there are cookies of ours, these pages may send them."""
        self._named = frozenset(origin.encode() for origin in config.cors_origins)
        self._credentials: Headers = (
            ((b"access-control-allow-credentials", b"true"),)
            if config.device_cookie or config.refresh_cookie or config.providers
            else ()
        )

    def of(self, scope: Scope) -> list[bytes]:
        """Return the origin of a request when its pages may call, else an empty list."""
        if not self._named:
            return []
        found = [value for name, value in scope["headers"] if name == b"origin"]
        return found if len(found) == 1 and found[0] in self._named else []

    def complete(self, headers: list[tuple[bytes, bytes]], allowed: list[bytes]) -> None:
        """Let the page read an answer that is not open to everybody anyway."""
        if not self._named or any(name == b"access-control-allow-origin" for name, _ in headers):
            return
        headers.append((b"vary", b"Origin"))
        for origin in allowed:
            headers.append((b"access-control-allow-origin", origin))
            headers.append((b"access-control-expose-headers", _EXPOSED))
            headers.extend(self._credentials)


def preflight(scope: Scope, methods: bytes, *, public: bool) -> Headers:
    """Return the headers of a preflight response; none for any other OPTIONS request.

    A preflight has an ``Origin`` and names the method it is for.
    """
    names = {name for name, _ in scope["headers"]}
    if not {b"origin", b"access-control-request-method"} <= names:
        return ()
    if scope[ALLOWED]:
        return (
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", _CALLING),
            _PREFLIGHT_LIFE,
        )
    return (*ANY_ORIGIN, *_READING, _PREFLIGHT_LIFE) if public else ()
