"""The issuer with some of its costs taken out, which shows what they are; it keeps none of its promises.

    python -m beside.without PORT [LAYER...]

A layer that is taken out answers what it would have answered, or a constant. The environment has the settings
of the issuer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from authkit_issuer import SigningKey
from authkit_issuer.cli import main
from authkit_issuer.domains.base.rate_limits import RateLimits, Usage
from authkit_issuer.domains.signup.contact_changes import ContactChanges, PendingContacts
from authkit_issuer.http import create_app
from authkit_issuer.http.cors import ALLOWED
from authkit_issuer.http.dispatch import REQUEST_ID
from authkit_issuer.security import access_token_signer
from authkit_issuer.security.hashing import PasswordHasher, Verdict
from authkit_issuer.server import process
from authkit_issuer.store.batched import BatchedStatements
from authkit_issuer.store.postgres import PoolStore
from beside.contenders import CALLERS

_SIGNATURE_BYTES = 64


def log_line() -> None:
    """Write no line of the access log."""
    _replace(process, "AccessLog", lambda app: app)


def bounds() -> None:
    """Let connections be uvicorn's own."""

    def unbounded(*args: Any, places: Any, last_request: Any, **kwargs: Any) -> HttpToolsProtocol:  # noqa: ARG001
        return HttpToolsProtocol(*args, **kwargs)

    _replace(process, "BoundedHttp", unbounded)


def edge() -> None:
    """Pass requests to the table of paths, without Starlette, request ids and origins."""

    def create_inner(service: Any) -> ASGIApp:
        found: Any = create_app(service).build_middleware_stack()
        table: ASGIApp = vars(found.app)["_app"]

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            scope[REQUEST_ID], scope[ALLOWED] = "request", []
            await table(scope, receive, send)

        return inner

    _replace(process, "create_app", create_inner)


def limits() -> None:
    """Count no call."""

    async def count(_self: Any, _key: str, rate: Any, *, closed: bool) -> Usage:  # noqa: ARG001
        return Usage(rate=rate, remaining=rate.calls - 1, reset=1.0, allowed=True)

    _replace(RateLimits, "_count", count)


def pending() -> None:
    """Look for no contact that waits for its proof."""

    async def list_pending(_self: Any, _user_id: str) -> PendingContacts:
        return PendingContacts()

    _replace(ContactChanges, "list_pending", list_pending)


def store() -> None:
    """Ask the driver's pool itself: no bounds on waiting, no errors of the service, no shared statements."""

    async def fetch_one(self: Any, query: Any, args: tuple[object, ...]) -> Any:
        record = await self._pool.fetchrow(query.text(self._schema), *args)
        return None if record is None else query.build(record)

    async def maybe(self: Any, query: Any, own: tuple[object, ...], common: tuple[object, ...]) -> Any:
        return await self.store.fetch_one(query.one, (*own, *common))

    _replace(PoolStore, "fetch_one", fetch_one)
    _replace(BatchedStatements, "maybe", maybe)


def statement() -> None:
    """Ask the database once for each row, and answer the same row from then on."""
    ask, known = PoolStore.fetch_one, dict[tuple[Any, object], Any]()

    async def fetch_one(self: Any, query: Any, args: tuple[object, ...]) -> Any:
        key = query, args[0] if args else None
        if key not in known:
            known[key] = await ask(self, query, args)
        return known[key]

    _replace(PoolStore, "fetch_one", fetch_one)


def signature() -> None:
    """Sign with zeros, after the tokens of the sessions that a run begins with."""
    signature_of, genuine = access_token_signer.signature_of, iter(range(CALLERS))

    def zeros_of(key: SigningKey) -> Callable[[bytes], bytes]:
        sign = signature_of(key)
        return lambda data: bytes(_SIGNATURE_BYTES) if next(genuine, None) is None else sign(data)

    _replace(access_token_signer, "signature_of", zeros_of)


def password_hash() -> None:
    """Find every password right."""

    async def verify(_self: Any, *_: Any, before: Any = None, **__: Any) -> Verdict:
        if before is not None:
            await before()
        return Verdict(fits=True)

    _replace(PasswordHasher, "verify", verify)


def _replace(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), name
    setattr(owner, name, value)


LAYERS: dict[str, Callable[[], None]] = {
    "the line of the access log": log_line,
    "the bounds of connections": bounds,
    "Starlette, request id, origins": edge,
    "the rate limit, a trip to Redis": limits,
    "pending contacts, a trip to Redis": pending,
    "the store around the driver": store,
    "the SQL statement, with the store": statement,
    "the signature": signature,
    "the hash of the password": password_hash,
}
"""What takes a layer out, by its name in the table."""

if __name__ == "__main__":
    port, *layers = sys.argv[1:]
    for layer in layers:
        LAYERS[layer]()
    sys.argv[1:] = ["serve", "--port", port]
    main()
