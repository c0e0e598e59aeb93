"""PostgreSQL and Redis go away and come back under a steady load: 503 meanwhile, and sessions survive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fakes.commands import run
from fakes.deployment import PASSWORD, Deployment, deployed
from fakes.load import Load, Outcome
from fakes.ports import free_port
from fakes.postgres import PostgresServer
from fakes.servers import RedisServer, on

pytestmark = pytest.mark.timeout(300)

CLIENTS, RATE, POOL = 150, 50, 8
STEADY = 2.0
"""Seconds of load before and after an outage."""
CONNECTIONS = """
    select coalesce(state, 'starting') from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that an outage lasts, and after which everything must answer again.

    With the time a server takes to start, an outage stays below the grace of a rotation.
    """

    outage: float
    recovery: float


@pytest.fixture
def times(rounds: Callable[[int], int]) -> Times:
    """Short ones outside of a soak, and patience with a machine that also runs other tests."""
    return Times(18, 2) if rounds(10) == 10 else Times(3, 8)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def deployment(tmp_path: Path, own_postgres: PostgresServer, own_redis: RedisServer) -> Iterator[Deployment]:
    own_redis.stop()
    own_redis.port = free_port()
    own_redis.start()
    assert run("migrate", AUTHKIT_DATABASE_URL=own_postgres.url).returncode == 0
    settings = {"AUTHKIT_DATABASE_POOL_SIZE": str(POOL), "AUTHKIT_SESSION_MAX_PER_USER": "none"}
    with deployed(tmp_path, "redis", own_postgres.url, own_redis.url, count=1, **settings) as issuer:
        yield issuer


async def outage(load: Load, server: PostgresServer | RedisServer, times: Times) -> list[Outcome]:
    """Let the load run over an outage; return what was sent and answered within it.

    What is answered before it, or sent once the time for recovery is over, must be as always.
    """
    load.outcomes.clear()
    await asyncio.sleep(STEADY)
    gone = load.now
    await asyncio.to_thread(server.stop)
    down = load.now
    await asyncio.sleep(times.outage)
    up = load.now
    await asyncio.to_thread(server.start)
    back = load.now
    while load.trouble_since(load.now - STEADY) or load.now < back + STEADY:
        assert load.now < back + times.recovery + STEADY, Counter(map(summary, load.outcomes))
        await asyncio.sleep(0.1)
    early = {summary(outcome) for outcome in load.outcomes if outcome.ended < gone}
    assert early == {("refresh", 200, ""), ("login", 200, "")}
    return [outcome for outcome in load.outcomes if down < outcome.began and outcome.ended < up]


def summary(outcome: Outcome) -> tuple[str, int, str]:
    return outcome.kind, outcome.status, outcome.error


async def connections(address: str) -> list[str]:
    """Return the states of the connections that others hold, once all are idle."""
    async with asyncio.timeout(60):
        while True:
            rows = await on(address, lambda connection: connection.fetch(CONNECTIONS))
            states = [str(row[0]) for row in rows]
            if set(states) <= {"idle"}:
                return states
            await asyncio.sleep(0.1)


async def test_outages_under_load_answer_503_and_lose_no_session(
    deployment: Deployment, own_postgres: PostgresServer, own_redis: RedisServer, times: Times
) -> None:
    names = [f"user_{number}" for number in range(5)]
    people = [await asyncio.to_thread(deployment.join, name) for name in names]
    port = urlsplit(deployment.servers[0].url).port or 0
    load = Load(port, [{"identifier": person.email, "password": PASSWORD} for person in people])
    await load.sign_in(CLIENTS)
    before = await connections(own_postgres.url)
    load.start(RATE)
    without_postgres = await outage(load, own_postgres, times)
    without_redis = await outage(load, own_redis, times)
    await load.stop()

    assert {summary(outcome) for outcome in without_postgres} == {
        ("refresh", 503, "database_unavailable"),
        ("login", 503, "database_unavailable"),
    }
    assert {summary(outcome) for outcome in without_redis} == {
        ("refresh", 200, ""),
        ("login", 503, "ephemeral_store_unavailable"),
    }
    assert load.left_out < RATE  # else it was no steady load
    for client in range(CLIENTS):
        status, answer = await load.refresh(client)
        assert status == 200, answer
    after = await connections(own_postgres.url)
    assert len(after) <= POOL, (before, after)
