"""One TLS context for all clients of a run: to read the certificates takes longer than most tests."""

from __future__ import annotations

import os
import ssl
from functools import cache

from httpx._transports import default

_make = default.create_ssl_context


def read_certificates_once() -> None:
    """Share the context of every ``httpx`` client of this process that trusts what is trusted by default."""
    default.create_ssl_context = _shared


def _shared(
    verify: ssl.SSLContext | str | bool = True,  # noqa: FBT001, FBT002 - as httpx calls it
    cert: object = None,
    trust_env: bool = True,  # noqa: FBT001, FBT002 - as above
) -> ssl.SSLContext:
    if verify is not True or cert is not None:
        return _make(verify=verify, cert=cert, trust_env=trust_env)  # type: ignore[arg-type]
    where = tuple(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")) if trust_env else ()
    return _made(where)


@cache
def _made(where: tuple[str | None, ...]) -> ssl.SSLContext:
    return _make(verify=True, cert=None, trust_env=bool(where))
