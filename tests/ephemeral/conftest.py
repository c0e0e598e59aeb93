"""Groups of Redis servers of one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.redis_groups import RedisCluster, SentinelGroup


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelGroup]:
    """A master with a replica and three sentinels."""
    with SentinelGroup(tmp_path) as group:
        yield group


@pytest.fixture
def replicated_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three masters with a replica each."""
    with RedisCluster(tmp_path, replicas=True) as cluster:
        yield cluster
