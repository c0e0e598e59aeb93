"""Used proofs are remembered: in the process, or in Redis for all of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest
import redis.asyncio
from redis.driver_info import DriverInfo

from authkit_verify import DPoP, MemoryReplayCache, Proof, RedisReplayCache, TokenError, Verifier
from authkit_verify._policy.proof.replay_cache import ReplayCacheFull
from authkit_verify.config import AcceptConfig
from authkit_verify.testing import FakeClient, FakeIssuer
from fakes.clock import FakeClock

FORKED = """
import asyncio, os, sys, threading, time
from authkit_verify import MemoryReplayCache

cache, busy = MemoryReplayCache(), True

async def fill(name):
    while busy:
        await cache.first_use(f"{name} {time.perf_counter_ns()}", 10)

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=asyncio.run, args=(fill(name),)) for name in range(4)]
for one in threads:
    one.start()
stuck = 0
for _ in range(40):
    child = os.fork()
    if child == 0:
        asyncio.run(cache.first_use("of the child", 10))
        os._exit(0)
    until = time.monotonic() + 60
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            stuck += 1
            os.kill(child, 9)
            os.waitpid(child, 0)
            break
        time.sleep(0.001)
    if stuck:
        break
busy = False
print("stuck" if stuck else "free")
"""


def test_a_forked_process_never_waits_for_a_thread_that_it_does_not_have() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "free"


async def test_a_key_is_remembered_for_its_time(clock: FakeClock) -> None:
    cache = MemoryReplayCache(clock=clock)
    assert await cache.first_use("a", 10)
    assert await cache.first_use("b", 5)
    clock.advance(9)
    assert not await cache.first_use("a", 10)
    assert await cache.first_use("b", 10)
    clock.advance(1)
    assert await cache.first_use("a", 10)
    assert len(cache) == 2


async def test_a_full_cache_refuses_and_forgets_nothing_that_is_live(clock: FakeClock) -> None:
    cache = MemoryReplayCache(max_proofs=100, clock=clock)
    for number in range(100):
        assert await cache.first_use(str(number), 10 + number % 2)
    with pytest.raises(ReplayCacheFull, match="100 used proofs"):
        await cache.first_use("new", 10)
    for number in range(100):
        assert not await cache.first_use(str(number), 10)
    clock.advance(10)
    assert await cache.first_use("new", 10)
    assert not await cache.first_use("1", 10)


async def test_a_burst_is_forgotten_in_steps(clock: FakeClock) -> None:
    cache = MemoryReplayCache(max_proofs=1000, clock=clock)
    for number in range(1000):
        await cache.first_use(str(number), 10)
    clock.advance(11)
    for number in range(1000, 1020):
        assert await cache.first_use(str(number), 10)
    assert len(cache) == 20


async def test_a_key_that_is_used_again_outlives_its_first_end(clock: FakeClock) -> None:
    cache = MemoryReplayCache(clock=clock)
    for number in range(200):
        await cache.first_use(str(number), 10)
    clock.advance(10)
    assert await cache.first_use("199", 10)  # expired, and not yet forgotten
    for number in range(300, 310):
        await cache.first_use(str(number), 10)
    assert not await cache.first_use("199", 10)


def test_threads_share_a_cache() -> None:
    cache, wins = MemoryReplayCache(), []

    async def use_all() -> None:
        wins.extend([number for number in range(2000) if await cache.first_use(str(number), 100)])

    threads = [threading.Thread(target=lambda: asyncio.run(use_all())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(2000))


async def test_in_memory_a_full_cache_is_503_and_no_yes(issuer: FakeIssuer) -> None:
    client = FakeClient(clock=issuer.clock)
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    settings = DPoP(replay_cache=MemoryReplayCache(max_proofs=1))
    async with Verifier(config, issuer.client, issuer.clock, dpop=settings) as verifier:
        token, url = issuer.mint(cnf=client.cnf), "https://api.test/"
        for expected in (None, "replay_check_unavailable"):
            try:
                proof = Proof(dpop=client.proof(token, "GET", url), method="GET", url=url)
                await verifier.verify(token, proof=proof)
                code = None
            except TokenError as error:
                code = error.code
            assert code == expected


def redis_client(url: str, **terms: Any) -> redis.asyncio.Redis:
    # A version that is given: the library would read it from the disk at its first connection.
    return redis.asyncio.Redis.from_url(url, driver_info=DriverInfo(lib_version=redis.__version__), **terms)


async def test_redis_remembers_a_key_for_its_time(redis_url: str) -> None:
    async with (
        redis_client(redis_url) as client,
        redis_client(redis_url, decode_responses=True) as text_client,
    ):
        cache = RedisReplayCache(client, prefix="p:")
        assert await cache.first_use("a", 100.5)
        assert not await cache.first_use("a", 100)
        assert 99_000 < await client.pttl("p:a") <= 100_500
        assert await cache.first_use("b", 0.05)
        await asyncio.sleep(0.1)
        assert await cache.first_use("b", 1)
        assert not await RedisReplayCache(text_client, prefix="p:").first_use("a", 100)


async def test_redis_that_is_down_lets_no_proof_pass(issuer: FakeIssuer) -> None:
    client = FakeClient(clock=issuer.clock)
    config = AcceptConfig(issuers=[issuer.accept()], algorithms=["ES256"])
    async with redis_client("redis://127.0.0.1:1/0") as down:
        settings = DPoP(replay_cache=RedisReplayCache(down))
        async with Verifier(config, issuer.client, issuer.clock, dpop=settings) as verifier:
            token, url = issuer.mint(cnf=client.cnf), "https://api.test/"
            proof = Proof(dpop=client.proof(token, "GET", url), method="GET", url=url)
            with pytest.raises(TokenError) as caught:
                await verifier.verify(token, proof=proof)
    assert caught.value.code == "replay_check_unavailable"


RACE = """
import asyncio, sys
import redis.asyncio
from authkit_verify import RedisReplayCache

async def main():
    async with redis.asyncio.Redis.from_url(sys.argv[1]) as client:
        cache = RedisReplayCache(client)
        await client.ping()
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range(20):
            uses = (cache.first_use(str(number), 60) for _ in range(25))
            print(sum(await asyncio.gather(*uses)), flush=True)

asyncio.run(main())
"""


def test_of_fifty_uses_in_two_processes_one_is_the_first(redis_url: str) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, redis_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    counts = [[int(line) for line in racer.communicate(timeout=60)[0].split()] for racer in racers]
    assert [one + other for one, other in zip(*counts, strict=True)] == [1] * 20
