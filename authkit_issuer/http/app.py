"""The application: the table of operations over one service."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from authkit_issuer.http import guards
from authkit_issuer.http.cookies import DeviceCookie, RefreshCookie
from authkit_issuer.http.cors import Origins
from authkit_issuer.http.dispatch import Path, Runner, Surface
from authkit_issuer.http.middleware import Edge, not_found
from authkit_issuer.http.operations import AnyOperation
from authkit_issuer.http.pages import inbox
from authkit_issuer.http.pages.docs import Docs
from authkit_issuer.http.rate_limits import RateLimiter
from authkit_issuer.http.routes import discovery, health
from authkit_issuer.http.routes.accounts import account, bootstrap, events, external_identities, me
from authkit_issuer.http.routes.admin import actions, roles, users
from authkit_issuer.http.routes.credentials import password_reset
from authkit_issuer.http.routes.factors import two_factor
from authkit_issuer.http.routes.login import external, external_results, password, reauthentication, solana
from authkit_issuer.http.routes.orgs import invites, members, orgs
from authkit_issuer.http.routes.sessions import introspection, sessions
from authkit_issuer.http.routes.signup import contact_changes, registration, resend, verification
from authkit_issuer.http.routes.tokens import keys, tokens

if TYPE_CHECKING:
    from authkit_issuer.service import Service

OPERATIONS: tuple[AnyOperation, ...] = (
    *registration.OPERATIONS,
    *resend.OPERATIONS,
    *verification.OPERATIONS,
    *password.OPERATIONS,
    *password_reset.OPERATIONS,
    *tokens.OPERATIONS,
    *sessions.OPERATIONS,
    *me.OPERATIONS,
    *account.OPERATIONS,
    *contact_changes.OPERATIONS,
    *two_factor.OPERATIONS,
    *solana.OPERATIONS,
    *bootstrap.OPERATIONS,
    *events.OPERATIONS,
    *external_identities.OPERATIONS,
    *reauthentication.OPERATIONS,
    *external.OPERATIONS,
    *external_results.OPERATIONS,
    *users.OPERATIONS,
    *roles.OPERATIONS,
    *actions.OPERATIONS,
    *keys.OPERATIONS,
    *discovery.OPERATIONS,
    *health.OPERATIONS,
    *orgs.OPERATIONS,
    *members.OPERATIONS,
    *invites.OPERATIONS,
    *introspection.OPERATIONS,
    *inbox.OPERATIONS,
)


def create_app(service: Service) -> Starlette:
    """Return an ASGI application that serves every operation of the service.

    It may be mounted under any prefix. Opening and closing the service stays with the caller. What is not
    configured is not there.
    """
    config = service.config
    offered = [entry for entry in OPERATIONS if entry.offered is None or entry.offered(service)]
    docs = Docs(offered, base_url=config.base_url, refresh_cookie=config.refresh_cookie)
    surface = Surface(
        service=service,
        limiter=RateLimiter(service),
        trusted=guards.networks(config.trusted_proxies),
        languages=config.languages,
        cookie=RefreshCookie(config) if config.refresh_cookie else None,
        device_cookie=DeviceCookie(config) if config.device_cookie else None,
    )
    by_path = sorted(docs.operations, key=attrgetter("path"))
    app = Starlette(
        routes=[
            Route(path, Path([Runner(surface, operation) for operation in group]))
            for path, group in groupby(by_path, key=attrgetter("path"))
        ],
        middleware=[Middleware(Edge, origins=Origins(config))],
    )
    # A redirect to the path without its slash would repeat a request with its secrets.
    app.router.redirect_slashes = False
    app.router.default = not_found
    return app
