"""A master of Redis is killed under load: logins pause until its replica serves, refreshes never do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fakes.deployment import PASSWORD, Deployment, deployed
from fakes.load import Load
from fakes.redis_groups import RedisCluster, SentinelGroup, wait_for
from fakes.servers import RedisServer

pytestmark = pytest.mark.timeout(180)

CLIENTS, RATE = 40, 30
STEADY = 1.5
"""Seconds of load before the kill, and after everything is back."""
BEYOND = 2.0
"""Seconds of 503 after the servers have agreed on the new master."""


async def failover(issuer: Deployment, lost: RedisServer, new_master: RedisServer) -> None:
    """Kill a master under load; check what was refused, and until when."""
    names = [f"user_{number}" for number in range(5)]
    people = [await asyncio.to_thread(issuer.join, name) for name in names]
    port = urlsplit(issuer.servers[0].url).port or 0
    load = Load(port, [{"identifier": person.email, "password": PASSWORD} for person in people])
    await load.sign_in(CLIENTS)
    load.start(RATE)
    await asyncio.sleep(STEADY)
    killed = load.now
    await asyncio.to_thread(lost.stop)
    await asyncio.to_thread(wait_for, lambda: new_master.ask("ROLE")[0] == "master")
    agreed = load.now
    await asyncio.sleep(BEYOND + STEADY)
    await load.stop()

    assert {outcome.status for outcome in load.outcomes if outcome.kind == "refresh"} == {200}
    refused = [outcome for outcome in load.outcomes if outcome.status != 200]
    assert {outcome.error for outcome in refused} <= {"ephemeral_store_unavailable"}
    assert all(killed < outcome.ended and outcome.began < agreed + BEYOND for outcome in refused)
    after = [outcome for outcome in load.outcomes if outcome.began > agreed + BEYOND]
    assert {outcome.kind for outcome in after} == {"login", "refresh"}


async def test_the_master_of_sentinels(tmp_path: Path, database_url: str) -> None:
    with (
        SentinelGroup(tmp_path) as group,
        deployed(
            tmp_path, "redis", database_url, group.url, count=1, AUTHKIT_SESSION_MAX_PER_USER="none"
        ) as issuer,
    ):
        await failover(issuer, *group.servers)


async def test_a_master_of_a_cluster(tmp_path: Path, database_url: str) -> None:
    with (
        RedisCluster(tmp_path, replicas=True) as cluster,
        deployed(
            tmp_path, "redis", database_url, cluster.url, count=1, AUTHKIT_SESSION_MAX_PER_USER="none"
        ) as issuer,
    ):
        await failover(issuer, cluster.masters[0], cluster.replicas[0])
