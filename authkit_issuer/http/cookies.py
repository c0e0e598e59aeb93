"""Tokens in cookies: out of reach of scripts, sent to our own paths alone, and checked against CSRF.

Whether the refresh token is kept in one RFC 9700 section 4.14 leaves to the deployment:
``Config.refresh_cookie``. The device token has no other place: ``Config.device_cookie``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from authkit_issuer import errors
from authkit_issuer.http.csrf import OwnPages

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.domains.sessions.service import TokenPair
    from authkit_issuer.http.raw_response import HeaderList, Headers

Pair = TypeVar("Pair", bound="TokenPair")

_LONGEST = 400 * 86_400
"""Browsers cap the life of a cookie here (RFC 6265bis section 5.5)."""

_LONGEST_PATH = 256
_MOST_LABELS = 8
# Both come from the request and go into a header.
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_HOST = re.compile(r"[A-Za-z0-9._-]+")


def cookies_of(headers: Headers) -> list[tuple[str, str]]:
    """Return the cookies of a request as name and value, repeats included."""
    lines = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
    # The space alone separates. Python's blanks are more: another host may write a name that begins with one
    # of them, since it does not begin with ``__Host-``.
    pairs = (part.strip(" ").partition("=") for line in lines for part in line.split(";"))
    return [(name, value) for name, _, value in pairs]


class Cookie:
    """A cookie of this service alone that no script can read.

    Its prefix says who wrote it: ``__Host-`` names are refused by browsers unless this very host set them for
    all its paths, so that no sibling host can plant one (RFC 6265bis section 4.1.3.2). Where the service is
    mounted under a path of another site, that site's paths are not ours: the cookie is bound to the path,
    which ``__Host-`` excludes. In development both the prefix and ``Secure`` are left out: apart from
    Chromium, browsers refuse them on http, loopback included.
    """

    def __init__(self, config: Config, name: str, life: float) -> None:
        """Prepare name and attributes; ``life`` is in seconds."""
        self._secure = not config.dev
        self._name = f"authkit_{name}"
        same_site = config.refresh_cookie_same_site.capitalize()
        self._attributes = f"HttpOnly; SameSite={same_site}{'; Secure' if self._secure else ''}"
        self._life = int(min(life, _LONGEST))
        self._prefix = urlsplit(config.base_url or "").path.rstrip("/")
        self._routes = config.route_prefix

    def write(self, value: str, root_path: str) -> tuple[bytes, bytes]:
        """Return the header that keeps a value in the browser."""
        return self._header(root_path, value, self._life, self._path(root_path))

    def clear(self, root_path: str) -> tuple[bytes, bytes]:
        """Return the header that makes the browser forget it."""
        return self._header(root_path, "", 0, self._path(root_path))

    def clear_everywhere(self, root_path: str, path: str, host: str) -> list[tuple[bytes, bytes]]:
        """Return headers that remove every cookie of the name that a request to this address carries.

        A planted one may belong to any path above that of the request, with or without a slash at its end,
        and to the host or any domain above it.
        """
        paths = {"/", self._path(root_path)}
        for at, char in enumerate(path[:_LONGEST_PATH]):
            if char == "/" and at:
                paths |= {path[:at], path[: at + 1]}
        if len(path) <= _LONGEST_PATH:
            paths.add(path)
        written = [found for found in paths if _PATH.fullmatch(found)]
        return [
            self._header(root_path, "", 0, found, domain)
            for found in sorted(written)
            for domain in ("", *_domains(host))
        ]

    def values(self, headers: Headers, root_path: str) -> list[str]:
        """Return what came with a request under this name, repeats included."""
        wanted = self.name(root_path)
        return [value for name, value in cookies_of(headers) if name == wanted]

    def name(self, root_path: str) -> str:
        """Return the name, with the strongest prefix its path allows."""
        if not self._secure:
            return self._name
        return f"{'__Secure-' if root_path or self._prefix else '__Host-'}{self._name}"

    def _path(self, root_path: str) -> str:
        mounted = root_path or self._prefix
        return f"{mounted}{self._routes}" if mounted else "/"

    def _header(
        self, root_path: str, value: str, life: int, path: str, domain: str = ""
    ) -> tuple[bytes, bytes]:
        name, scope = self.name(root_path), f"; Domain={domain}" if domain else ""
        text = f"{name}={value}; Max-Age={life}; Path={path}{scope}; {self._attributes}"
        return b"set-cookie", text.encode("latin-1")


def _domains(host: str) -> list[str]:
    """Return the domains a cookie of this host may belong to: the host name and those above it."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    labels = name.split(".")[-_MOST_LABELS:]
    if not _HOST.fullmatch(name) or labels[-1].isdigit():
        return []
    return [".".join(labels[at:]) for at in range(len(labels) - 1)]


class RefreshCookie(Cookie):
    """Holds the refresh token of one deployment."""

    def __init__(self, config: Config) -> None:
        """Prepare name and attributes, and the origins whose pages may use it."""
        super().__init__(config, "refresh", config.refresh_token_duration or _LONGEST)
        self._pages = OwnPages(config)

    def check_page(self, headers: Headers) -> None:
        """Raise ``Invalid`` for a page of another origin (``csrf.OwnPages``)."""
        self._pages.require(headers)


class DeviceCookie(Cookie):
    """Holds the device token of one deployment: who signed in here before. It stays after a sign-out."""

    def __init__(self, config: Config) -> None:
        """Prepare name and attributes."""
        super().__init__(config, "device", config.device_duration)


class FlowCookie(Cookie):
    """Holds the id of the passwordless sign-in that began in this browser: a link signs in only with it."""

    def __init__(self, config: Config) -> None:
        """Prepare name and attributes, and the origins whose pages may begin a sign-in here."""
        super().__init__(config, "passwordless", config.code_ttl)
        self._pages = OwnPages(config)

    def is_for(self, headers: Headers) -> bool:
        """True unless a page of another origin asks, whose reader did not mean to sign in here."""
        return self._pages.include(headers)


@dataclass(slots=True, kw_only=True)
class CookieJar:
    """The cookies of one request and its response; each is None where the service has no such cookie."""

    request_headers: Headers
    response_headers: HeaderList
    root_path: str = ""
    path: str = "/"
    refresh: RefreshCookie | None = None
    device: DeviceCookie | None = None
    flow: FlowCookie | None = None
    used: bool = False
    """True once the refresh token of the request was taken from its cookie."""

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

    def device_token(self) -> str | None:
        """Return the device token of the request; of two, one was planted, and both are cleared."""
        return self._sole(self.device) if self.device else None

    def begin_flow(self, flow_id: str) -> None:
        """Keep the id of the passwordless sign-in that begins, in place of an earlier one."""
        if self.flow and self.flow.is_for(self.request_headers):
            self.response_headers.append(self.flow.write(flow_id, self.root_path))

    def flow_ids(self, given: str | None) -> list[str]:
        """Return the passwordless sign-ins that this browser has begun: the body's and the cookie's."""
        kept = self._sole(self.flow) if self.flow and self.flow.is_for(self.request_headers) else None
        return [flow_id for flow_id in (given, kept) if flow_id]

    def end_flow(self) -> None:
        """Forget the passwordless sign-in, which has ended."""
        if self.flow and self.flow.values(self.request_headers, self.root_path):
            self.response_headers.append(self.flow.clear(self.root_path))

    def refresh_token(self, given: str | None) -> str:
        """Return the refresh token of a request: the body's, else the cookie's; raises ``Invalid`` for none.

        Where there is a cookie, raises as ``RefreshCookie.check_page`` does, whichever of the two it is: the
        successor goes into the cookie. Raises ``Invalid`` for two cookies of the name, and clears both: one
        was planted.
        """
        if self.refresh:
            self.refresh.check_page(self.request_headers)
        token = given or self._cookie_token()
        if not token:
            raise errors.Invalid("A refresh token is needed.", param="refresh_token")
        return token

    def peek_refresh_token(self, given: str | None) -> str | None:
        """Return what ``refresh_token`` returns, None where it raises; the response stays as it is."""
        if not self.refresh:
            return given
        found = self.refresh.values(self.request_headers, self.root_path)
        try:
            self.refresh.check_page(self.request_headers)
        except errors.Invalid:
            return None
        return given or (found[0] if len(found) == 1 else None)

    def has_refresh_token(self, given: str | None) -> bool:
        """True if a refresh token came with the request, in its body or in a cookie, right or wrong."""
        return bool(given or (self.refresh and self.refresh.values(self.request_headers, self.root_path)))

    def _cookie_token(self) -> str | None:
        if not self.refresh:
            return None
        token = self._sole(self.refresh)
        if token is None and self.refresh.values(self.request_headers, self.root_path):
            raise errors.Invalid("The refresh cookie was sent twice. Both were removed; sign in again.")
        self.used = token is not None
        return token

    def _sole(self, cookie: Cookie) -> str | None:
        found = cookie.values(self.request_headers, self.root_path)
        if len(found) > 1:
            hosts = [value.decode("latin-1") for name, value in self.request_headers if name == b"host"]
            self.response_headers += cookie.clear_everywhere(
                self.root_path, self.path, hosts[0] if hosts else ""
            )
        return found[0] if len(found) == 1 else None
