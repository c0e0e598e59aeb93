"""The application: the table of operations over one service."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.http import routes
from authkit_issuer.http.cookies import DeviceCookie, FlowCookie, RefreshCookie
from authkit_issuer.http.cors import Origins
from authkit_issuer.http.dispatch import Path, Runner, Surface
from authkit_issuer.http.fixed_paths import FixedPaths
from authkit_issuer.http.middleware import Edge, not_found, not_found_in_development
from authkit_issuer.http.operations import Operation
from authkit_issuer.http.pages.docs import Docs
from authkit_issuer.http.route_groups import collect

if TYPE_CHECKING:
    from authkit_issuer.service import Service

OPERATIONS = collect(routes)
_PREFIX = "/auth"
"""What the paths of the table begin with."""


def create_app(service: Service, prefix: str | None = None) -> Starlette:
    """Return an ASGI application that serves every operation of the service.

    It may be mounted under any path; ``base_url`` then has that path, too. Opening and closing the service
    stays with the caller. What is not configured is not there.

    Args:
        service: The service.
        prefix: What the paths of routes begin with, in place of ``Config.route_prefix``: ``""`` to mount the
            application at ``/auth`` of the host.

    Raises:
        ConfigError: ``prefix`` is not a path.
    """
    service = service if prefix is None else service.at_prefix(prefix)
    config = service.config
    offered = [
        _placed(entry, config.route_prefix)
        for entry in OPERATIONS
        if entry.offered is None or entry.offered(service)
    ]
    docs = Docs(offered, base_url=config.base_url, refresh_cookie=config.refresh_cookie)
    surface = Surface(
        service=service,
        trusted=TrustedProxies(config.trusted_proxies),
        languages=config.languages,
        cookie=RefreshCookie(config) if config.refresh_cookie else None,
        device_cookie=DeviceCookie(config) if config.device_cookie else None,
        flow_cookie=FlowCookie(config) if service.passwordless.has_links else None,
        telemetry=service.telemetry,
    )
    by_path = sorted(docs.operations, key=attrgetter("path"))
    table = {
        path: Path([Runner(surface, operation) for operation in group])
        for path, group in groupby(by_path, key=attrgetter("path"))
    }
    app = Starlette(
        routes=[_WholePath(path, found) for path, found in table.items()],
        middleware=[Middleware(Edge, origins=Origins(config)), Middleware(FixedPaths, table=table)],
    )
    # A redirect to the path without its slash would repeat a request with its secrets.
    app.router.redirect_slashes = False
    app.router.default = not_found_in_development if config.dev else not_found
    return app


def _placed(operation: Operation, prefix: str) -> Operation:
    """Return the operation at its path below the prefix."""
    if prefix == _PREFIX or not operation.path.startswith(f"{_PREFIX}/"):
        return operation
    return replace(operation, path=f"{prefix}{operation.path.removeprefix(_PREFIX)}")


class _WholePath(Route):
    """A route that matches a path to its very end.

    Starlette's pattern ends with ``$``, which also matches before a line feed. A proxy that refuses some
    paths takes the path with a line feed behind it for another one, and would pass it on.
    """

    def __init__(self, path: str, endpoint: Path) -> None:
        super().__init__(path, endpoint)
        self.path_regex = re.compile(self.path_regex.pattern.removesuffix("$") + r"\Z")
