"""The server process: one ``Service`` behind uvicorn, from the first bind to a clean stop.

``connections`` bounds requests, ``connection_limit`` the number of connections, and ``settings`` fills in
what development leaves out.
"""

from __future__ import annotations

import asyncio
import logging
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
from authkit_issuer.server.draining import Draining
from authkit_issuer.server.listener import listening
from authkit_issuer.server.maintenance import maintained
from authkit_issuer.server.memory_mode import alone
from authkit_issuer.server.options import ServeOptions
from authkit_issuer.server.settings import development, production, refuse_dev
from authkit_issuer.server.signals import Signals
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import migrate

if TYPE_CHECKING:
    from authkit_issuer.embedded import EmbeddedPostgres

logger = logging.getLogger("authkit.server")

Ready = Callable[[Config, str], None]
"""Receives the configuration and the address, such as ``http://127.0.0.1:8000``."""


def serve(
    env: dict[str, str], options: ServeOptions | None = None, *, dev: bool, data_dir: Path, ready: Ready
) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP, then return; ``ready`` is called once requests are answered.

    The first signal starts the drain, if there is one; the next one stops the process; one more does not wait
    for running requests.

    With ``dev``: embedded PostgreSQL unless ``AUTHKIT_DATABASE_URL`` is set, migrated; the memory store;
    generated keys; the development inbox. Without it everything is checked as in production, even in an
    environment of another name.

    Raises:
        ConfigError: a setting cannot work.
        StartupError: the port, the database or the keys cannot be used.
    """
    options = options or ServeOptions()
    if dev:
        refuse_dev(env, options)
    database: EmbeddedPostgres | None = None
    signals = Signals()
    with listening(options) as (listener, address), signals:
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
                runner.run(_run(config, options, listener, signals, lambda: ready(config, address)))
        finally:
            signals.ignore()
            if database is not None:
                database.stop()


async def _run(
    config: Config,
    options: ServeOptions,
    listener: socket.socket,
    signals: Signals,
    ready: Callable[[], None],
) -> None:
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
        draining = Draining(create_app(service))
        server = _Server(_uvicorn(config, options, draining))
        signals.drain = partial(_drain, draining, options.drain_delay) if options.drain_delay else None
        signals.server = server
        announcer = asyncio.create_task(_announce(server, ready), name="authkit announce")
        try:
            await server.serve(sockets=[listener])
        finally:
            announcer.cancel()
            await asyncio.gather(announcer, return_exceptions=True)


def _uvicorn(config: Config, options: ServeOptions, draining: Draining) -> uvicorn.Config:
    protocol = partial(
        BoundedHttp, places=Places(config.trusted_proxies), last_request=lambda: draining.begun
    )
    return uvicorn.Config(
        AccessLog(draining),
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        log_config=None,
        access_log=False,  # it would log queries, which contain addresses
        proxy_headers=False,  # the address is resolved from our own list of trusted proxies
        server_header=False,
        lifespan="off",
        timeout_keep_alive=cast("int", options.keep_alive),  # any number of seconds
        timeout_graceful_shutdown=cast("int", options.graceful),
    )


def _drain(draining: Draining, delay: float, stop: Callable[[], None]) -> None:
    """Ask load balancers for no more requests, and stop after the delay."""
    draining.begun = True
    logger.info("serving on for %g s, while /readyz responds with 503", delay)
    asyncio.get_running_loop().call_later(delay, stop)


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
