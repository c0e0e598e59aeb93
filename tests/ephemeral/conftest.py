"""Groups of Redis servers, for one test or for all of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.redis_groups import RedisCluster, SentinelGroup


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelGroup]:
    """A master with a replica and three sentinels, of this test's own."""
    group = SentinelGroup(tmp_path)
    try:
        group.start()
        yield group
    finally:
        group.stop()


@pytest.fixture
def replicated_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three masters with a replica each, of this test's own."""
    cluster = RedisCluster(tmp_path, replicas=True)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
