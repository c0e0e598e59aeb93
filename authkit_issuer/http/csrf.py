"""CSRF: the refresh cookie is neither used nor given for a page of another origin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authkit_issuer import errors

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.http.raw_response import Headers

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_LOOPBACK = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?")


class OwnPages:
    """The pages that may use the refresh cookie: those of our origin and of ``cors_origins``.

    In development every page of this machine may, as ``authkit serve --dev`` answers on loopback alone.
    """

    def __init__(self, config: Config) -> None:
        """Take the origins of a configuration."""
        self._origins = {*config.cors_origins, *_origins(config.base_url), *_origins(config.issuer)}
        self._loopback = config.dev

    def include(self, headers: Headers) -> bool:
        """True unless the request comes from a page of another origin."""
        pages = {value.decode("latin-1") for key, value in headers if key == b"origin"}
        foreign = pages - self._origins
        return not foreign or (self._loopback and all(map(is_loopback_origin, foreign)))

    def require(self, headers: Headers) -> None:
        """Raise ``Invalid`` for a page of another origin.

        Its reader did not ask for this: neither to use the cookie that is there, nor to be given one of
        another person's session.
        """
        if not self.include(headers):
            raise errors.Invalid(
                "Refresh tokens are not taken from pages of this origin: add it to cors_origins."
            )


def is_loopback_origin(origin: str) -> bool:
    """True for the origin of a page that a server on this machine served."""
    return _LOOPBACK.fullmatch(origin) is not None


def _origins(address: str | None) -> set[str]:
    """Return the origin of an address as browsers spell it, without the port that goes without saying."""
    parts = urlsplit(address or "")
    if parts.scheme not in _DEFAULT_PORTS:
        return set()
    return {f"{parts.scheme}://{parts.netloc}".lower().removesuffix(_DEFAULT_PORTS[parts.scheme])}
