"""Processes that are killed, stopped or replaced by another release under load, as their callers see it.

All of it needs a soak (``SOAK=1``).
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from fakes import releases
from fakes.balancer import Balancer
from fakes.clickhouse import PASSWORD as CLICKHOUSE_PASSWORD
from fakes.clickhouse import USER, ClickHouseServer, Double
from fakes.commands import Server
from fakes.deployment import PASSWORD, Deployment, deployed, start
from fakes.load import Load, Outcome
from fakes.repository import ROOT
from fakes.servers import on

pytestmark = pytest.mark.timeout(600)

CLIENTS, RATE = 120, 40
REQUESTS = 1000
"""Requests of which none may be refused while releases take turns."""
TAKEOVER, PATIENCE = 15.0, 5.0
"""Seconds for which events of a killed process may wait, and what a machine that does much else adds."""
DRAIN = ("--drain-delay", "5")
TABLE = "audit.trail"


@pytest.fixture(autouse=True)
def soak(rounds: Callable[[int], int]) -> None:
    """Asked for before there are servers, which take seconds to start."""
    if rounds(10) == 1:
        pytest.skip("a soak replaces processes")


class Broken(Load):
    """Notes a connection that ended without an answer as an outcome of its own, with status 0."""

    async def _send(self, kind: str, path: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        began = self.now
        try:
            return await super()._send(kind, path, body)
        except (OSError, IndexError, ValueError) as error:
            self.outcomes.append(Outcome(kind, began, self.now, 0, type(error).__name__))
            return 0, {}

    @property
    def refused(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status != 200]


@asynccontextmanager
async def loaded(issuer: Deployment, balancer: Balancer) -> AsyncIterator[Broken]:
    people = [await asyncio.to_thread(issuer.join, f"user_{number}") for number in range(5)]
    load = Broken(balancer.port, [{"identifier": one.email, "password": PASSWORD} for one in people])
    await load.sign_in(CLIENTS)
    load.start(RATE)
    try:
        yield load
    finally:
        await load.stop()


async def every_session_goes_on(load: Broken) -> None:
    for client in range(CLIENTS):
        status, answer = await load.refresh(client)
        assert status == 200, answer


def port_of(server: Server) -> int:
    return urlsplit(server.url).port or 0


@dataclass
class Arrivals:
    """When the sink had how many events."""

    engine: Double
    seen: list[tuple[float, int]] = field(default_factory=list)

    async def watch(self) -> None:
        while True:
            now = asyncio.get_running_loop().time()
            count = len(self.engine.tables[TABLE])
            if not self.seen or self.seen[-1][1] != count:
                self.seen.append((now, count))
            await asyncio.sleep(0.1)

    def longest_pause(self) -> float:
        times = [moment for moment, _ in self.seen]
        return max(later - earlier for earlier, later in itertools.pairwise(times))


async def test_a_killed_process_costs_what_it_had_in_hand_and_the_outbox_goes_on(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    engine = Double(tables={TABLE: []})
    clickhouse = ClickHouseServer(engine)
    address = clickhouse.url.replace("://", f"://{quote(USER)}:{quote(CLICKHOUSE_PASSWORD, safe='')}@")
    settings = {
        "AUTHKIT_CLICKHOUSE_URL": address,
        "AUTHKIT_CLICKHOUSE_TABLE": TABLE,
        "AUTHKIT_SESSION_MAX_PER_USER": "none",
    }
    kills: list[tuple[float, float]] = []
    arrivals = Arrivals(engine)
    with (
        ExitStack() as later,
        deployed(tmp_path, "redis", database_url, redis_url, count=4, **settings) as issuer,
    ):
        async with Balancer(*map(port_of, issuer.servers), redispatch=True) as balancer:
            for server in issuer.servers:
                await balancer.add(port_of(server))
            async with loaded(issuer, balancer) as load:
                watching = asyncio.create_task(arrivals.watch())
                # Each once: the one that has the lease of the sink is among them.
                for server in issuer.servers:
                    await asyncio.sleep(3)
                    before = load.now
                    await asyncio.to_thread(server.stop, signal.SIGKILL)
                    kills.append((before, load.now))
                    balancer.remove(port_of(server))
                    (another,) = await asyncio.to_thread(start, later, 1, ("--port", "0"), issuer.settings)
                    await balancer.add(port_of(another))
                await asyncio.sleep(TAKEOVER)
            await every_session_goes_on(load)
            await _all_delivered(database_url)
            watching.cancel()
    clickhouse.stop()
    assert {outcome.status for outcome in load.refused} <= {0, 503}, load.refused
    for outcome in load.refused:
        assert any(outcome.began <= gone and before <= outcome.ended for before, gone in kills), outcome
    assert arrivals.longest_pause() < TAKEOVER + PATIENCE


async def _all_delivered(database_url: str) -> None:
    waiting = "select count(*) from profiles.event_outbox"
    async with asyncio.timeout(2 * TAKEOVER):
        while await on(database_url, lambda connection: connection.fetchval(waiting)):
            await asyncio.sleep(0.2)


Process = tuple[subprocess.Popen[str], int]


async def replaced(balancer: Balancer, old: Process, begin: Callable[[], Process]) -> Process:
    """Start another process, stop the old one once that one serves, and return the new one."""
    new = await asyncio.to_thread(begin)
    await balancer.add(new[1])
    old[0].send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(old[0].wait, 60) == 0
    balancer.remove(old[1])
    return new


async def test_a_release_replaces_another_and_is_rolled_back_without_a_refused_request(
    tmp_path: Path, empty_database_url: str, redis_url: str
) -> None:
    newer = await asyncio.to_thread(releases.next_release, tmp_path / "next")
    settings = {"AUTHKIT_SESSION_MAX_PER_USER": "none"}
    with ExitStack() as stack:
        migrated = await asyncio.to_thread(
            releases.command, ROOT, "migrate", AUTHKIT_DATABASE_URL=empty_database_url
        )
        assert migrated
        issuer = stack.enter_context(
            deployed(tmp_path, "redis", empty_database_url, redis_url, count=1, **settings)
        )

        def begin(folder: Path) -> Process:
            return stack.enter_context(releases.process(folder, *DRAIN, **issuer.settings))

        running = [begin(ROOT) for _ in range(2)]
        async with Balancer() as balancer:
            for _, port in running:
                await balancer.add(port)
            async with loaded(issuer, balancer) as load:
                said = await asyncio.to_thread(releases.command, newer, "migrate", **issuer.settings)
                assert "next_release" in said
                for folder in (newer, ROOT):  # forth, and back: the schema stays
                    for number in range(2):
                        running[number] = await replaced(balancer, running[number], partial(begin, folder))
                    await asyncio.sleep(1)
                while len(load.outcomes) < REQUESTS:
                    await asyncio.sleep(0.2)
            assert load.refused == [], Counter((one.status, one.error) for one in load.refused)
            assert load.left_out < RATE  # else it was no steady load
            await every_session_goes_on(load)
