"""Which pages of other origins may call (Fetch standard, section 3.2): those that the configuration names.

Public documents may be read by every page; nothing else is open unless ``cors_origins`` says so. Development
opens it to the pages of this machine.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.types import Scope

from authkit_issuer.http.csrf import is_loopback_origin

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
# Their pages may send the cookies of this service, and the browser's client always asks to.
_CREDENTIALS = (b"access-control-allow-credentials", b"true")
_ORIGIN = re.compile(rb"https?://[A-Za-z0-9.:\[\]-]{1,260}")
_MOST_LOGGED = 20

logger = logging.getLogger("authkit.http")


class Origins:
    """The origins of one deployment."""

    def __init__(self, config: Config) -> None:
        """Take the list; development adds the pages of this machine."""
        self._named = frozenset(origin.encode() for origin in config.cors_origins)
        pages = (*config.cors_origins, config.base_url, config.link_base_url)
        self._hosts = {_origin(page): urlsplit(page).hostname or "" for page in pages if page}
        self._loopback = config.dev
        self._logged: set[bytes] = set()

    def allowed(self, found: list[bytes]) -> list[bytes]:
        """Return the origin of a request with these headers when its pages may call, else an empty list."""
        return found if len(found) == 1 and self._may_call(found[0]) else []

    def host(self, found: list[bytes]) -> str:
        """Return the host of the page that calls, ``""`` if it is none of this deployment's."""
        origin = found[0].decode("latin-1") if len(found) == 1 else ""
        if self._loopback and is_loopback_origin(origin):
            return urlsplit(origin).hostname or ""
        return self._hosts.get(origin, "")

    def complete(self, headers: list[tuple[bytes, bytes]], allowed: list[bytes], scope: Scope) -> None:
        """Let the page read an answer that is not open to everybody anyway; log one that may not."""
        if any(name == b"access-control-allow-origin" for name, _ in headers):
            return
        if not allowed and scope["method"] == "OPTIONS":
            self._log_refused(scope)
        if self._named or self._loopback:
            headers.append((b"vary", b"Origin"))
        for origin in allowed:
            headers.append((b"access-control-allow-origin", origin))
            headers.append((b"access-control-expose-headers", _EXPOSED))
            headers.append(_CREDENTIALS)

    def _may_call(self, origin: bytes) -> bool:
        return origin in self._named or (self._loopback and is_loopback_origin(origin.decode("latin-1")))

    def _log_refused(self, scope: Scope) -> None:
        """Log each refused origin of a preflight once: the page itself sees a network error alone."""
        asks = any(name == b"access-control-request-method" for name, _ in scope["headers"])
        for origin in origins_of(scope) if asks and len(self._logged) < _MOST_LOGGED else ():
            if origin in self._logged or self._may_call(origin) or not _ORIGIN.fullmatch(origin):
                continue
            self._logged.add(origin)
            logger.warning(
                "a page of %s may not call: add its origin to cors_origins if it is yours", origin.decode()
            )


def _origin(address: str) -> str:
    """Return the origin of a URL, as browsers send it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def origins_of(scope: Scope) -> list[bytes]:
    """Return the values of the ``Origin`` headers of a request."""
    return [value for name, value in scope["headers"] if name == b"origin"]


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
