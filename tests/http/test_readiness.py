"""What ``/readyz`` says while a part is half dead: it answers, and takes no writes."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from urllib.parse import urlsplit

from fakes.patience import PATIENCE
from fakes.servers import RedisServer


async def not_ready(api: Any) -> dict[str, str]:
    """Return the causes once the probe fails."""
    async with asyncio.timeout(PATIENCE):
        while (answer := await api.get("/readyz")).status_code == 200:
            await asyncio.sleep(0.05)
    assert (await api.get("/healthz")).status_code == 200
    metadata = answer.json()["metadata"]
    assert (metadata["database"], metadata["ephemeral_store"]) == (True, False)
    return metadata["causes"]


async def ready(api: Any) -> None:
    """Return once the probe succeeds."""
    async with asyncio.timeout(PATIENCE):
        while (await api.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_redis_that_takes_no_writes_is_noticed_and_so_is_its_recovery(
    make_service: Any, serve: Any, own_redis: RedisServer, redis_url: str
) -> None:
    service = await make_service(redis_url=own_redis.url)
    async with serve(service) as api:
        await ready(api)
        own_redis.ask("CONFIG", "SET", "maxmemory", "1")
        assert await not_ready(api) == {"ephemeral_store": "full"}
        own_redis.ask("CONFIG", "SET", "maxmemory", "0")
        await ready(api)
        own_redis.ask("REPLICAOF", "127.0.0.1", urlsplit(redis_url).port or 0)
        assert await not_ready(api) == {"ephemeral_store": "read_only"}
        own_redis.ask("REPLICAOF", "NO", "ONE")
        await ready(api)
        own_redis.signal(signal.SIGSTOP)
        assert await not_ready(api) == {"ephemeral_store": "unreachable"}
        own_redis.signal(signal.SIGCONT)
        await ready(api)
