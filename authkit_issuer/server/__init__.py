"""The server: one ``Service`` behind uvicorn in each process, from the first bind to a clean stop.

``process`` is one process, ``workers`` runs several of them on one socket. ``connections`` bounds requests,
``connection_limit`` the number of connections, and ``settings`` fills in what development leaves out.
``options`` has the times, ``stopping`` the steps of the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from authkit_issuer.config import Config
from authkit_issuer.server import logs, process
from authkit_issuer.server.listener import bind, listening
from authkit_issuer.server.options import ServeOptions
from authkit_issuer.server.settings import (
    development,
    production,
    refuse_dev,
    refuse_workers,
    shared_among,
)
from authkit_issuer.server.signals import Signals

if TYPE_CHECKING:
    from authkit_issuer.embedded import EmbeddedPostgres
    from authkit_issuer.server.metrics import Metrics

Ready = Callable[[Config, str], None]
"""Receives the configuration and the address, such as ``http://127.0.0.1:8000``."""


@contextmanager
def operators_port(options: ServeOptions) -> Generator[Metrics | None]:
    """Listen on the port of operators, if there is one, and yield what serves it."""
    if options.metrics_port is None:
        yield None
        return
    from authkit_issuer.server.board import Board  # noqa: PLC0415 - without the port nothing of it is needed
    from authkit_issuer.server.metrics import Metrics  # noqa: PLC0415 - as above

    with bind(options.metrics_host, options.metrics_port, option="--metrics-port") as listener:
        yield Metrics(listener, Board(options.workers) if options.workers > 1 else None)


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
        StartupError: the port, the database or the keys cannot be used, or every worker ends at once.
    """
    options = options or ServeOptions()
    if dev:
        refuse_dev(env, options)
    database: EmbeddedPostgres | None = None
    signals = Signals()
    with listening(options) as (listener, address), operators_port(options) as metrics, signals:
        try:
            config = development(env, data_dir, address) if dev else production(env)
            if options.workers > 1:
                refuse_workers(config, options)
            if dev and config.database_url is None:
                from authkit_issuer.embedded import EmbeddedPostgres  # noqa: PLC0415 - not on every platform

                with signals.held():
                    database = EmbeddedPostgres.start(data_dir)
                config = development({**env, "AUTHKIT_DATABASE_URL": database.dsn}, data_dir, address)
            logs.configure(dev=dev, several=options.workers > 1, traces=options.traces)
            run: Callable[..., None] = process.run
            if options.workers > 1:
                from authkit_issuer.server.workers import run_workers  # noqa: PLC0415 - needs ``fork``

                run = run_workers
                config = shared_among(config, options.workers)
            announce = partial(ready, config, address)
            run(config, options, listener, signals, metrics=metrics, ready=announce)
        finally:
            signals.ignore()
            if database is not None:
                database.stop()
