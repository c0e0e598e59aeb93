"""A PostgreSQL of a test's own, to be stopped and started again at will."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg

from authkit_issuer.embedded.wheel import Binaries, account_for_programs, let_enter
from fakes.ports import free_port
from fakes.servers import POSTGRES_SETTINGS, on

DEADLINE = 60.0


class PostgresServer:
    """A cluster on a loopback port; ``url`` stays the same over every ``stop`` and ``start``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="authkit-pg-"))
        self.process: subprocess.Popen[bytes] | None = None
        account = account_for_programs()
        let_enter(account, self.folder, [self.folder])
        self._binaries = Binaries.find().runnable_by(account, self.folder)
        self._surroundings: dict[str, Any] = self._binaries.surroundings(account)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster."""
        os.chown(self.folder, self._surroundings.get("user", -1), self._surroundings.get("group", -1))
        subprocess.run(
            [
                self._binaries.program("initdb"),
                *("-D", self.folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"),
            ],
            **self._surroundings,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"{POSTGRES_SETTINGS}\nport = {self.port}\nlisten_addresses = '127.0.0.1'\n")
            settings.write("unix_socket_directories = ''\n")

    def standby(self) -> PostgresServer:
        """Return a standby of this cluster, which has not been started yet; it is started after it."""
        other = PostgresServer()
        shutil.copytree(self.folder / "data", other.folder / "data")
        (other.folder / "data" / "standby.signal").touch()
        with (other.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"port = {other.port}\n")
            source = f"host=127.0.0.1 port={self.port} user=postgres application_name=standby"
            settings.write(f"primary_conninfo = '{source}'\n")
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write("synchronous_standby_names = 'standby'\n")
        user, group = self._surroundings.get("user", -1), self._surroundings.get("group", -1)
        for path in ((other.folder / "data"), *(other.folder / "data").rglob("*")):
            os.chown(path, user, group)
        return other

    def signal(self, number: int) -> None:
        """Send a signal to every process of the server."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in (self.process.pid, *map(int, children.read_text().split())):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def start(self) -> None:
        """Return once the server answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._binaries.program("postgres"), "-D", self.folder / "data"],
                **self._surroundings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE
        while not asyncio.run(self._answers()):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            return bool(await on(self.url, lambda connection: connection.fetchval("select true")))
        except (OSError, asyncpg.PostgresError):
            return False

    def stop(self) -> None:
        """Let every backend drop what it does; nothing is saved in order, so the next start recovers."""
        if self.process is not None:
            self.signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(DEADLINE)
            self.process = None

    def remove(self) -> None:
        """Stop and delete everything."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
