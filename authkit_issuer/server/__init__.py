"""The server process: one ``Service`` behind uvicorn, from the first bind to a clean stop.

``connections`` bounds requests, ``connection_limit`` the number of connections, and ``settings`` fills in
what development leaves out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn

from authkit_issuer.config import Config
from authkit_issuer.errors import AuthError, StartupError
from authkit_issuer.http import create_app
from authkit_issuer.server import logs
from authkit_issuer.server.access_log import AccessLog
from authkit_issuer.server.connection_limit import Places
from authkit_issuer.server.connections import BoundedHttp
from authkit_issuer.server.maintenance import maintained
from authkit_issuer.server.memory_mode import alone
from authkit_issuer.server.settings import development, production, refuse_dev
from authkit_issuer.server.signals import Signals
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import migrate

if TYPE_CHECKING:
    from authkit_issuer.embedded import EmbeddedPostgres

_BACKLOG = 2048
GRACEFUL_SHUTDOWN = 5
"""Seconds that running requests get when the process stops."""

Ready = Callable[[Config, str], None]
"""Receives the configuration and the address, such as ``http://127.0.0.1:8000``."""


def serve(env: dict[str, str], *, dev: bool, host: str, port: int, data_dir: Path, ready: Ready) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP, then return; ``ready`` is called once requests are answered.

    With ``dev``: embedded PostgreSQL unless ``AUTHKIT_DATABASE_URL`` is set, migrated; the memory store;
    generated keys; the development inbox. Without it everything is checked as in production, even in an
    environment of another name.

    Raises:
        ConfigError: a setting cannot work.
        StartupError: the port, the database or the keys cannot be used.
    """
    if dev:
        refuse_dev(env, host)
    database: EmbeddedPostgres | None = None
    signals = Signals()
    with bind(host, port) as listener, signals:
        address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        try:
            if dev:
                config = development(env, data_dir, address)
                if config.database_url is None:
                    from authkit_issuer.embedded import (  # noqa: PLC0415 - not on every platform
                        EmbeddedPostgres,
                    )

                    with signals.held():
                        database = EmbeddedPostgres.start(data_dir)
                    config = development({**env, "AUTHKIT_DATABASE_URL": database.dsn}, data_dir, address)
            else:
                config = production(env)
            logs.configure(dev=dev)
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_run(config, listener, signals, lambda: ready(config, address)))
        finally:
            signals.ignore()
            if database is not None:
                database.stop()


def bind(host: str, port: int) -> socket.socket:
    """Listen on the port before anything else starts, or raise ``StartupError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two sockets of this kind may hold one port until one of them listens: now, and not after the start.
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "not a port number"
        message = f"Cannot listen on {host} port {port}: {reason.lower()}; --port selects another."
        raise StartupError(message) from error
    return listener


async def _run(config: Config, listener: socket.socket, signals: Signals, ready: Callable[[], None]) -> None:
    signals.task = asyncio.current_task()
    async with AsyncExitStack() as stack:
        try:
            if config.dev and config.database_url is not None:
                await migrate(config.database_url, schema=config.database_schema)
            await stack.enter_async_context(alone(config))
            service = await stack.enter_async_context(await Service.open(config))
        except AuthError as error:
            raise StartupError(error.reason or error.description) from error
        await stack.enter_async_context(maintained(service))
        server = _Server(
            uvicorn.Config(
                AccessLog(create_app(service)),
                http=cast(
                    "type[asyncio.Protocol]", partial(BoundedHttp, places=Places(config.trusted_proxies))
                ),
                ws="none",
                log_config=None,
                access_log=False,  # it would log queries, which contain addresses
                proxy_headers=False,  # the address is resolved from our own list of trusted proxies
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
            )
        )
        signals.server = server
        announcer = asyncio.create_task(_announce(server, ready), name="authkit announce")
        try:
            await server.serve(sockets=[listener])
        finally:
            announcer.cancel()
            await asyncio.gather(announcer, return_exceptions=True)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to ``Signals``: uvicorn would raise them again after the shutdown."""
        yield


async def _announce(server: uvicorn.Server, ready: Callable[[], None]) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    ready()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
