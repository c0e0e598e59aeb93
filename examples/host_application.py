"""One application with the issuer in it: routes, tokens verified in the process, your entitlements."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from authkit_issuer import Config, Entitlement, Service
from authkit_issuer.http import create_app
from authkit_verify import AuthMiddleware, require_entitlement


@dataclass(frozen=True)
class Plans:
    """The entitlements of your customers, from a table of yours: each token carries their names."""

    pool: asyncpg.Pool[asyncpg.Record]

    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        """Return what a user may use; what has expired is left out of tokens without your doing."""
        rows: list[Any] = await self.pool.fetch(
            "select plan, paid_until from plans where user_id = $1::text::uuid", user_id
        )
        return [Entitlement(name=plan, expires_at=_aware(until)) for plan, until in rows]


def _aware(moment: datetime | None) -> datetime | None:
    return moment.astimezone() if moment else None


async def reports(request: Request) -> JSONResponse:
    return JSONResponse({"reports_of": request.user.identity})


def build(config: Config, pool: asyncpg.Pool[asyncpg.Record]) -> Starlette:
    """Return an application with ``/auth/...`` of the issuer, and ``/app/reports`` for who paid for it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with await Service.open(config, pool, entitlements_provider=Plans(pool)) as service:
            paid = Middleware(require_entitlement("pro"))
            checked = Middleware(AuthMiddleware, verifier=service.verifier(), enrichment=service.enrichment())
            app.router.routes += [
                Mount("/app", routes=[Route("/reports", reports, middleware=[paid])], middleware=[checked]),
                Mount("/auth", app=create_app(service, prefix="")),
            ]
            yield

    return Starlette(lifespan=lifespan)
