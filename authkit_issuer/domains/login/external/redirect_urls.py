"""The redirect URLs of a login: they come from the configuration, never from a request.

Only in development, without ``base_url``, the host of the request replaces it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from authkit_issuer import errors
from authkit_issuer.config import Config

MAX_RETURN_TO = 1024
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
# The characters of RFC 3986, without the backslash, which browsers read as a slash.
_BEYOND_ASCII = re.compile(r"[\u00a0-\ud7ff\ue000-\U0010ffff]+")
_LOCAL = re.compile(r"/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectUrls:
    """The URLs of one login. ``app_url`` is the page of the app that receives the result."""

    redirect_uri: str
    app_url: str


def redirect_urls(config: Config, provider: str, origin: str) -> RedirectUrls:
    """Return the URLs of a provider's logins; raises ``NotConfigured`` without ``base_url``."""
    base = (config.base_url or "").rstrip("/")
    if not base and not config.is_production and _ORIGIN.fullmatch(origin):
        base = origin.lower()
    if not base:
        raise errors.NotConfigured("base_url is not set: set it to the public URL of this service.")
    # Discord's URL is older than the others, and applications have registered it there.
    kind = "oauth" if provider == "discord" else "oidc"
    app = (config.link_base_url or base).rstrip("/")
    return RedirectUrls(
        redirect_uri=f"{base}{config.route_prefix}/{kind}/{provider}/callback",
        app_url=config.login_callback_url or f"{app}/login/callback",
    )


def checked_return_to(text: str | None) -> str:
    """Return a path of the app in ASCII, what is beyond it percent-encoded (RFC 3987 section 3.1).

    Raises ``Invalid`` for a text that could lead a browser elsewhere.
    """
    # As a browser's address bar does: a page may be named in any language.
    text = _BEYOND_ASCII.sub(lambda found: quote(found[0]), text or "")
    if not text:
        return ""
    path = text.partition("#")[0].partition("?")[0]
    # Only a path can lead elsewhere: a query may hold a whole URL.
    if len(text) > MAX_RETURN_TO or "//" in path or not _LOCAL.fullmatch(text):
        raise errors.Invalid("return_to must be a path that starts with one slash.", param="return_to")
    return text
