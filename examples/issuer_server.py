"""Mount the issuer inside your own application, below a path of your choice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from authkit_issuer import Config, Service
from authkit_issuer.http import create_app


def build(config: Config) -> Starlette:
    """Return an application that opens the service at its start and closes it at its end."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with await Service.open(config) as service:
            app.router.routes.append(Mount("/identity", app=create_app(service)))
            yield

    return Starlette(lifespan=lifespan)
