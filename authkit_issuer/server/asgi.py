"""The issuer as an ASGI application built from the environment, for a server of your choice.

``uvicorn --factory authkit_issuer.server.asgi:create``. Everything is checked as in production; the database
must have been migrated. Logging is the server's, and so are the bounds of a connection: how large a request's
headers may be and how long they may take (``authkit serve`` sets 32 KiB and ten seconds), and whether it
rewrites the peer by ``X-Forwarded-For``, which this application does for ``trusted_proxies`` (uvicorn:
``--no-proxy-headers``). Behind a proxy that passes trailers or ``Upgrade`` on, uvicorn needs ``--http h11``:
its parser httptools takes the former for headers, and the body of a request with the latter for another
request.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from authkit_issuer.config import Config, process_environment
from authkit_issuer.config.environment import allow_lookups
from authkit_issuer.errors import AuthError, ConfigError, StartupError
from authkit_issuer.http import create_app
from authkit_issuer.server.maintenance import maintained
from authkit_issuer.server.settings import production
from authkit_issuer.service import Service


def create() -> Application:
    """Return the application of this process's environment; ``ConfigError`` names a wrong setting."""
    allow_lookups()
    return Application(production(process_environment()))


class Application:
    """Opens the service when the lifespan starts and closes it when it ends (ASGI lifespan 2.0)."""

    def __init__(self, config: Config) -> None:
        """Keep the configuration; nothing is opened yet."""
        self._config = config
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is None:
            raise StartupError("The server did not start the application: turn on its lifespan.")
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            service = await Service.open(self._config)
        except (AuthError, ConfigError, StartupError) as error:
            message = getattr(error, "reason", "") or str(error)
            await send({"type": "lifespan.startup.failed", "message": message})
            return
        async with service, maintained(service):
            self._app = create_app(service)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self._app = None
        await send({"type": "lifespan.shutdown.complete"})
