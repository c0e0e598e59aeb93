"""Tokens in cookies: out of reach of scripts, sent to this service's own paths alone.

Whether the refresh token is kept in one RFC 9700 section 4.14 leaves to the deployment:
``Config.refresh_cookie``. The device token has no other place: ``Config.device_cookie``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from authkit_issuer import errors

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.domains.sessions.service import TokenPair
    from authkit_issuer.http.raw_response import HeaderList, Headers

Pair = TypeVar("Pair", bound="TokenPair")

_LONGEST = 400 * 86_400
"""Browsers cap the life of a cookie here (RFC 6265bis section 5.5)."""


def cookies_of(headers: Headers) -> list[tuple[str, str]]:
    """Return the cookies of a request as name and value, repeats included."""
    lines = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
    pairs = (part.strip().partition("=") for line in lines for part in line.split(";"))
    return [(name, value) for name, _, value in pairs]


class Cookie:
    """A cookie of this service's own paths that no script can read.

    In development both the prefix and ``Secure`` are left out: apart from Chromium, browsers refuse them on
    http, loopback included.
    """

    def __init__(self, config: Config, name: str, life: float) -> None:
        """Prepare name and attributes; ``life`` is in seconds."""
        secure = not config.dev
        self.name = f"{'__Secure-' if secure else ''}authkit_{name}"
        same_site = config.refresh_cookie_same_site.capitalize()
        self._attributes = f"HttpOnly; SameSite={same_site}{'; Secure' if secure else ''}"
        self._life = int(min(life, _LONGEST))
        self._prefix = urlsplit(config.base_url or "").path.rstrip("/")

    def write(self, value: str, root_path: str) -> tuple[bytes, bytes]:
        """Return the header that keeps a value in the browser."""
        return self._header(value, self._life, root_path)

    def clear(self, root_path: str) -> tuple[bytes, bytes]:
        """Return the header that makes the browser forget it."""
        return self._header("", 0, root_path)

    def values(self, headers: Headers) -> list[str]:
        """Return what came with a request under this name, repeats included."""
        return [value for name, value in cookies_of(headers) if name == self.name]

    def _header(self, value: str, life: int, root_path: str) -> tuple[bytes, bytes]:
        path = f"{root_path or self._prefix}/auth"
        text = f"{self.name}={value}; Max-Age={life}; Path={path}; {self._attributes}"
        return b"set-cookie", text.encode("latin-1")


class RefreshCookie(Cookie):
    """Holds the refresh token of one deployment."""

    def __init__(self, config: Config) -> None:
        """Prepare name and attributes, and the origins whose pages may use it."""
        super().__init__(config, "refresh", config.refresh_token_duration or _LONGEST)
        self._origins = {*config.cors_origins, *_origins(config.base_url), *_origins(config.issuer)}

    def check_page(self, headers: Headers) -> None:
        """Raise ``Invalid`` for a page of an origin that is neither ours nor among ``cors_origins``.

        Its reader did not ask for this: neither to use the cookie that is there, nor to be given one of
        somebody else's session.
        """
        pages = {value.decode("latin-1") for key, value in headers if key == b"origin"}
        if not pages <= self._origins:
            raise errors.Invalid("Refresh tokens are not taken from pages of this origin.")

    def read(self, headers: Headers) -> str | None:
        """Return the token that came with a request, None without one.

        Raises ``Invalid`` for two cookies of the name, of which one was planted.
        """
        found = self.values(headers)
        if len(found) > 1:
            raise errors.Invalid("The refresh cookie was sent twice.")
        return found[0] if found else None


class DeviceCookie(Cookie):
    """Holds the device token of one deployment: who signed in here before. It stays after a sign-out."""

    def __init__(self, config: Config) -> None:
        """Prepare name and attributes."""
        super().__init__(config, "device", config.device_duration)

    def read(self, headers: Headers) -> str | None:
        """Return the token that came with a request; None without one, or with a second, planted one."""
        found = self.values(headers)
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieJar:
    """The cookies of one request and its response; each is None where the service has no such cookie."""

    request_headers: Headers
    response_headers: HeaderList
    root_path: str = ""
    refresh: RefreshCookie | None = None
    device: DeviceCookie | None = None

    def signed_in(self, pair: Pair) -> Pair:
        """Return the tokens of a login, after giving the browser its device cookie."""
        if self.device and pair.device:
            self.response_headers.append(self.device.write(pair.device, self.root_path))
        return pair

    def signed_out(self) -> None:
        """Clear the refresh cookie of a browser whose own session has just ended."""
        if self.refresh:
            self.response_headers.append(self.refresh.clear(self.root_path))

    def keep(self, refresh_token: str) -> None:
        """Put a refresh token into the cookie, where there is one."""
        if self.refresh:
            self.response_headers.append(self.refresh.write(refresh_token, self.root_path))

    def refresh_token(self, given: str | None) -> str:
        """Return the refresh token of a request: the body's, else the cookie's; raises ``Invalid`` for none.

        Where there is a cookie, raises as ``RefreshCookie.check_page`` does, whichever of the two it is: the
        successor goes into the cookie.
        """
        if self.refresh:
            self.refresh.check_page(self.request_headers)
        token = given or (self.refresh.read(self.request_headers) if self.refresh else None)
        if not token:
            raise errors.Invalid("A refresh token is needed.", param="refresh_token")
        return token


_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _origins(address: str | None) -> set[str]:
    """Return the origin of an address as browsers spell it, without the port that goes without saying."""
    parts = urlsplit(address or "")
    if parts.scheme not in _DEFAULT_PORTS:
        return set()
    return {f"{parts.scheme}://{parts.netloc}".lower().removesuffix(_DEFAULT_PORTS[parts.scheme])}
