"""CSRF: the refresh cookie is neither used nor given for a page of another origin."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authkit_issuer import errors

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.http.raw_response import Headers

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def own_origins(config: Config) -> frozenset[str]:
    """Return the origins whose pages may use the refresh cookie: ours, and those of ``cors_origins``."""
    return frozenset({*config.cors_origins, *_origins(config.base_url), *_origins(config.issuer)})


def require_own_page(headers: Headers, origins: frozenset[str]) -> None:
    """Raise ``Invalid`` for a page of an origin that is not one of these.

    Its reader did not ask for this: neither to use the cookie that is there, nor to be given one of another
    person's session.
    """
    pages = {value.decode("latin-1") for key, value in headers if key == b"origin"}
    if not pages <= origins:
        raise errors.Invalid("Refresh tokens are not taken from pages of this origin.")


def _origins(address: str | None) -> set[str]:
    """Return the origin of an address as browsers spell it, without the port that goes without saying."""
    parts = urlsplit(address or "")
    if parts.scheme not in _DEFAULT_PORTS:
        return set()
    return {f"{parts.scheme}://{parts.netloc}".lower().removesuffix(_DEFAULT_PORTS[parts.scheme])}
