"""One process that answers requests: its service, its bounds, and its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import uvicorn

from authkit_issuer.config import Config
from authkit_issuer.config.environment import allow_lookups
from authkit_issuer.errors import AuthError, StartupError
from authkit_issuer.http import create_app
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.server.access_log import AccessLog
from authkit_issuer.server.connection_limit import Places
from authkit_issuer.server.connections import BoundedHttp
from authkit_issuer.server.maintenance import maintained
from authkit_issuer.server.memory_mode import alone
from authkit_issuer.server.options import ServeOptions
from authkit_issuer.server.quiet_server import QuietServer
from authkit_issuer.server.readiness import Readiness
from authkit_issuer.server.signals import Signals
from authkit_issuer.server.stopping import Draining, Stopping
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import migrate
from authkit_issuer.telemetry.tally import Tally

if TYPE_CHECKING:
    from authkit_issuer.server.metrics import Metrics


def run(
    config: Config,
    options: ServeOptions,
    listener: socket.socket,
    signals: Signals,
    *,
    metrics: Metrics | None = None,
    begin: Callable[[], None] = lambda: None,
    ready: Callable[[], None],
) -> None:
    """Answer requests on the socket until ``signals`` stop it.

    Args:
        config: The configuration.
        options: How to keep connections, and how to stop.
        listener: The listening socket.
        signals: What stops the process.
        metrics: What serves the numbers of the process; None to measure nothing.
        begin: Called first in the loop.
        ready: Called once requests are answered.

    Raises:
        ConfigError: A setting cannot work.
        StartupError: The database, the ephemeral store or the keys cannot be used.
    """
    allow_lookups()
    signals.enter_loop()  # before there is a loop: one that a signal left half made would never be closed
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(config, options, listener, signals, metrics, begin, ready))


async def _run(  # noqa: PLR0917 - the arguments of ``run``
    config: Config,
    options: ServeOptions,
    listener: socket.socket,
    signals: Signals,
    metrics: Metrics | None,
    begin: Callable[[], None],
    ready: Callable[[], None],
) -> None:
    signals.entered()
    begin()
    async with AsyncExitStack() as stack:
        try:
            if config.dev and config.database_url is not None:
                await migrate(config.database_url, schema=config.database_schema)
            await stack.enter_async_context(alone(config))
            telemetry = await stack.enter_async_context(_telemetry(options, metrics))
            service = await stack.enter_async_context(await Service.open(config, telemetry=telemetry))
        except AuthError as error:
            raise StartupError(error.reason or error.description) from error
        await stack.enter_async_context(maintained(service))
        draining = Draining(create_app(service))
        if metrics is not None:
            await stack.enter_async_context(metrics.served(Readiness(service, draining)))
        server = QuietServer(_uvicorn(config, options, draining))
        signals.stop = Stopping(server, draining, delay=options.drain_delay, graceful=options.graceful).to
        announcer = asyncio.create_task(_announce(server, ready), name="authkit announce")
        try:
            await server.serve(sockets=[listener])
        finally:
            announcer.cancel()
            await asyncio.gather(announcer, return_exceptions=True)


@asynccontextmanager
async def _telemetry(options: ServeOptions, metrics: Metrics | None) -> AsyncGenerator[Telemetry | None]:
    """Yield what the options ask for: numbers, spans, both or None."""
    numbers = None if metrics is None else metrics.tally
    if not options.traces:
        yield numbers
        return
    from authkit_issuer.server.traces import traced  # noqa: PLC0415 - an extra brings its libraries

    async with traced(numbers or Tally()) as telemetry:
        yield telemetry


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
    )


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
