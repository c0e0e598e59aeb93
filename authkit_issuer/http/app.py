"""The application: the table of operations over one service."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from authkit_issuer.http import guards
from authkit_issuer.http.dispatch import Path, Runner
from authkit_issuer.http.docs import Docs
from authkit_issuer.http.edge import Edge, not_found
from authkit_issuer.http.routes import health, inbox, keys, me, passwords, registration, sessions, tokens
from authkit_issuer.http.routing import AnyOperation

if TYPE_CHECKING:
    from authkit_issuer.service import Service

OPERATIONS: tuple[AnyOperation, ...] = (
    *registration.OPERATIONS,
    *passwords.OPERATIONS,
    *tokens.OPERATIONS,
    *sessions.OPERATIONS,
    *me.OPERATIONS,
    *keys.OPERATIONS,
    *health.OPERATIONS,
)


def create_app(service: Service) -> Starlette:
    """Return an ASGI application that serves every operation of the service.

    It may be mounted under any prefix. Opening and closing the service stays with the caller. The development
    inbox is served only when the service has one.
    """
    config = service.config
    offered = OPERATIONS + (inbox.OPERATIONS if service.inbox is not None else ())
    docs = Docs(offered, base_url=config.base_url)
    trusted = guards.networks(config.trusted_proxies)
    by_path = sorted(docs.operations, key=attrgetter("path"))
    app = Starlette(
        routes=[
            Route(path, Path([Runner(service, operation, trusted) for operation in group]))
            for path, group in groupby(by_path, key=attrgetter("path"))
        ],
        middleware=[Middleware(Edge)],
    )
    # A redirect to the path without its slash would repeat a request with its secrets.
    app.router.redirect_slashes = False
    app.router.default = not_found
    return app
