"""The server process: one ``Service`` behind uvicorn, from the first bind to a clean stop."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import structlog
import uvicorn

from authkit_issuer.config import Config, environment_name, is_dev_environment
from authkit_issuer.embedded import EmbeddedPostgres, stop_quietly
from authkit_issuer.errors import AuthError, StartupError
from authkit_issuer.http import create_app
from authkit_issuer.service import Service
from authkit_issuer.store.migrate import migrate

MAINTENANCE_INTERVAL = 600.0
DEV_AUDIENCE = "authkit"

logger = logging.getLogger("authkit.server")


def serve(
    env: dict[str, str],
    *,
    dev: bool,
    host: str,
    port: int,
    data_dir: Path,
    ready: Callable[[Config], None] = lambda _: None,
) -> None:
    """Run until SIGINT or SIGTERM; ``ready`` is called once requests are answered.

    With ``dev``: embedded PostgreSQL unless ``AUTHKIT_DATABASE_URL`` is set, migrated; the memory store;
    generated keys; the development inbox. Without it everything is checked as in production, whatever the
    environment is called. Raises ``ConfigError`` and ``StartupError`` with one sentence.
    """
    if dev:
        _check_dev(env, host)
    listener = bind(host, port)
    database: EmbeddedPostgres | None = None
    try:
        if dev:
            env = {"AUTHKIT_ISSUER": f"http://{_bracketed(host)}:{listener.getsockname()[1]}"} | env
            if "AUTHKIT_DATABASE_URL" not in env:
                database = EmbeddedPostgres.start(data_dir)
                env["AUTHKIT_DATABASE_URL"] = database.dsn
            config = _dev_config(env, data_dir)
        else:
            config = Config.from_env(env, environment="production")
        _configure_logging(dev=dev)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(config, listener, ready))
    finally:
        listener.close()
        stop_quietly(database)


def _check_dev(env: dict[str, str], host: str) -> None:
    if not is_dev_environment(env):
        raise StartupError(f"--dev is refused: the environment is {environment_name(env)!r}.")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise StartupError(f"--dev is refused on {host}: everybody there could read the codes and the mails.")


def _dev_config(env: dict[str, str], data_dir: Path) -> Config:
    env.setdefault("AUTHKIT_AUDIENCES", env.get("AUTHKIT_ISSUED_AUDIENCES", DEV_AUDIENCE))
    env.setdefault("AUTHKIT_KEYS_DIR", str(data_dir.expanduser().resolve()))
    return Config.from_env(env, dev=True)


def bind(host: str, port: int) -> socket.socket:
    """Take the port before anything else is started, or raise ``StartupError``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or "not a port number"
        raise StartupError(f"Cannot listen on {host} port {port}: {reason.lower()}.") from error
    listener.set_inheritable(True)
    return listener


async def _run(config: Config, listener: socket.socket, ready: Callable[[Config], None]) -> None:
    try:
        if config.dev and config.database_url is not None:
            await migrate(config.database_url, schema=config.database_schema)
        service = await Service.open(config)
    except AuthError as error:
        raise StartupError(error.description) from error
    async with service:
        server = _Server(
            uvicorn.Config(
                create_app(service),
                log_config=None,
                access_log=False,
                proxy_headers=False,  # the address is resolved from our own list of trusted proxies
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        maintenance = asyncio.create_task(_maintain(service), name="authkit maintenance")
        announcer = asyncio.create_task(_announce(server, config, ready), name="authkit announce")
        try:
            await server.serve(sockets=[listener])
        finally:
            for task in (maintenance, announcer):
                task.cancel()
            await asyncio.gather(maintenance, announcer, return_exceptions=True)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on a signal and be done: uvicorn would raise it again after the shutdown."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        # The second signal means "now".
        self.force_exit = self.should_exit
        self.should_exit = True


async def _announce(server: uvicorn.Server, config: Config, ready: Callable[[Config], None]) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
        await asyncio.sleep(0.01)
    ready(config)


async def _maintain(service: Service) -> None:
    while True:
        try:
            await service.maintain()
        except AuthError as error:
            logger.warning("maintenance did not run: %s", error.code)
        await asyncio.sleep(MAINTENANCE_INTERVAL)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _configure_logging(*, dev: bool) -> None:
    """Write one line a record to standard error: readable in development, JSON elsewhere."""
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(colors=False) if dev else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
