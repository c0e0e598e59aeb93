"""The refresh token in a cookie: out of reach of scripts, sent to this service's own paths alone.

RFC 9700 section 4.14 leaves the choice to the deployment; ``Config.refresh_cookie`` makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authkit_issuer import errors

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.http.routing import Call, Headers

_LONGEST = 400 * 86_400
"""Browsers cap the life of a cookie here (RFC 6265bis section 5.5)."""


class RefreshCookie:
    """Writes, clears and reads the cookie of one deployment."""

    def __init__(self, config: Config) -> None:
        """Prepare name and attributes.

        In development both the prefix and ``Secure`` are left out: apart from Chromium, browsers refuse them
        on http, loopback included.
        """
        secure = not config.dev
        self.name = f"{'__Secure-' if secure else ''}authkit_refresh"
        same_site = config.refresh_cookie_same_site.capitalize()
        self._attributes = f"HttpOnly; SameSite={same_site}{'; Secure' if secure else ''}"
        self._life = int(min(config.refresh_token_duration or _LONGEST, _LONGEST))
        self._prefix = urlsplit(config.base_url or "").path.rstrip("/")
        self._origins = {*config.cors_origins, *_origins(config.base_url), *_origins(config.issuer)}

    def write(self, token: str, root_path: str) -> tuple[bytes, bytes]:
        """Return the header that keeps a token in the browser."""
        return self._header(token, self._life, root_path)

    def clear(self, root_path: str) -> tuple[bytes, bytes]:
        """Return the header that makes the browser forget it."""
        return self._header("", 0, root_path)

    def read(self, headers: Headers) -> str | None:
        """Return the token that came with a request, None without one.

        Raises ``Invalid`` for two cookies of the name, of which one was planted, and for a page of an origin
        that is neither ours nor among ``cors_origins``: its reader did not ask for this.
        """
        found: list[str] = []
        origin = ""
        for key, value in headers:
            if key == b"cookie":
                found.extend(self._values(value.decode("latin-1")))
            elif key == b"origin":
                origin = value.decode("latin-1")
        if not found:
            return None
        if len(found) > 1:
            raise errors.Invalid("The refresh cookie stands twice.")
        if origin and origin not in self._origins:
            raise errors.Invalid("The refresh cookie is not taken from pages of this origin.")
        return found[0]

    def _values(self, text: str) -> list[str]:
        pairs = (part.strip().partition("=") for part in text.split(";"))
        return [value for name, _, value in pairs if name == self.name]

    def _header(self, value: str, life: int, root_path: str) -> tuple[bytes, bytes]:
        path = f"{root_path or self._prefix}/auth"
        text = f"{self.name}={value}; Max-Age={life}; Path={path}; {self._attributes}"
        return b"set-cookie", text.encode("latin-1")


def presented(call: Call[Any, Any], given: str | None) -> str:
    """Return the refresh token of a request: the body's, else the cookie's; raises ``Invalid`` for none."""
    token = given or (call.cookie.read(call.headers) if call.cookie else None)
    if not token:
        raise errors.Invalid("A refresh token is needed.", param="refresh_token")
    return token


def _origins(address: str | None) -> set[str]:
    parts = urlsplit(address or "")
    return {f"{parts.scheme}://{parts.netloc}".lower()} if parts.scheme in {"http", "https"} else set()
