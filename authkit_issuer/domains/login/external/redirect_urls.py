"""Where a browser login goes and comes back to: addresses of the configuration, never of a request.

Only in development, without ``base_url``, does the host that was asked stand in for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from authkit_issuer import errors
from authkit_issuer.config import Config

MAX_RETURN_TO = 1024
_ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
# RFC 3986's characters without the backslash that browsers read as a slash.
_LOCAL = re.compile(r"/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The addresses of one login. ``app_url`` is the page that gets the result."""

    redirect_uri: str
    app_url: str


def addresses(config: Config, provider: str, origin: str) -> Addresses:
    """Return the addresses of a provider's logins; raises ``NotConfigured`` where nothing says them."""
    base = (config.base_url or "").rstrip("/")
    if not base and not config.is_production and _ORIGIN.fullmatch(origin):
        base = origin.lower()
    if not base:
        raise errors.NotConfigured("base_url is not set.")
    # Discord's address is older than the rest, and is what its applications have registered.
    kind = "oauth" if provider == "discord" else "oidc"
    app = (config.link_base_url or base).rstrip("/")
    return Addresses(
        redirect_uri=f"{base}/auth/{kind}/{provider}/callback",
        app_url=config.login_callback_url or f"{app}/login/callback",
    )


def local_path(text: str | None) -> str:
    """Return a path of the app; raises ``Invalid`` for whatever could lead a browser elsewhere."""
    if not text:
        return ""
    if len(text) > MAX_RETURN_TO or "//" in text or not _LOCAL.fullmatch(text):
        raise errors.Invalid("This must be a path that starts with one slash.", param="return_to")
    return text
