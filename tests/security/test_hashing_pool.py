"""The hashing pool: fair by client, bounded in number, memory and waiting time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from authkit_issuer import errors
from authkit_issuer.security.hashing_pool import ALONE_KIB, HashingPool
from fakes.until import until

SMALL = 64


class Held:
    """Occupies threads until the gate opens; records the order of admission."""

    def __init__(self, pool: HashingPool) -> None:
        self.pool = pool
        self.gate = threading.Event()
        self.order: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def hold(self, count: int, *, memory_kib: int = SMALL) -> None:
        before = self.pool.load.running
        self.tasks += [
            asyncio.create_task(self.pool.run(self.gate.wait, memory_kib=memory_kib)) for _ in range(count)
        ]
        await until(lambda: self.pool.load.running == before + count)

    async def queue(self, name: str, client: str, *, memory_kib: int = SMALL) -> asyncio.Task[None]:
        async def note() -> None:
            self.order.append(name)

        before = self.pool.load.waiting
        work = self.pool.run(lambda: None, memory_kib=memory_kib, client=client, before=note)
        task = asyncio.create_task(work)
        await until(lambda: self.pool.load.waiting == before + 1 or task.done())
        self.tasks.append(task)
        return task

    async def let_go(self) -> None:
        self.gate.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., HashingPool]]:
    made: list[HashingPool] = []

    def build(**fields: float) -> HashingPool:
        usual = {"count": 1, "memory_kib": 256 * 1024, "queue": 16, "deadline": 5.0}
        made.append(HashingPool(**(usual | fields)))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for pool in made:
        pool.close()


async def test_clients_take_turns_however_many_of_one_are_waiting(make) -> None:
    held = Held(pool := make())
    await held.hold(1)
    for name, client in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c"), ("b2", "b")):
        await held.queue(name, client)
    await held.let_go()
    assert held.order == ["a1", "b1", "c1", "a2", "b2"]
    assert (pool.load.running, pool.load.waiting, pool.load.memory_kib) == (0, 0, 0)


async def test_one_network_may_fill_the_queue_while_no_other_one_waits(make) -> None:
    held = Held(pool := make(queue=16))
    await held.hold(1)
    for number in range(16):
        await held.queue(f"office{number}", "192.0.2.1")
    with pytest.raises(errors.ServerBusy):
        await pool.run(lambda: None, memory_kib=SMALL, client="192.0.2.1")
    await held.let_go()
    assert held.order == [f"office{number}" for number in range(16)]
    assert pool.load.refused == 1


async def test_in_a_full_queue_others_take_the_places_of_the_newest_of_a_flood(make) -> None:
    held = Held(pool := make(queue=4))
    await held.hold(1)
    flood = [await held.queue(f"flood{number}", "192.0.2.1") for number in range(4)]
    for number in (2, 3):
        pool_was = pool.load.waiting
        held.tasks.append(
            asyncio.create_task(pool.run(lambda: None, memory_kib=SMALL, client=f"192.0.2.{number}"))
        )
        await until(lambda count=number: pool.load.refused == count - 1)
        assert pool.load.waiting == pool_was
    for late in flood[2:]:
        with pytest.raises(errors.ServerBusy):
            await late
    # A client with two makes room for one with none; clients with one make none.
    held.tasks.append(asyncio.create_task(pool.run(lambda: None, memory_kib=SMALL, client="192.0.2.4")))
    await until(lambda: pool.load.refused == 3)
    with pytest.raises(errors.ServerBusy):
        await pool.run(lambda: None, memory_kib=SMALL, client="192.0.2.5")
    await held.let_go()
    assert held.order == ["flood0"]
    assert (pool.load.running, pool.load.waiting, pool.load.memory_kib) == (0, 0, 0)


async def test_a_caller_that_loses_its_place_and_hangs_up_at_once_frees_no_thread(make) -> None:
    held = Held(pool := make(queue=2))
    await held.hold(1)
    await held.queue("flood0", "a")
    loser = await held.queue("flood1", "a")
    held.tasks.append(asyncio.create_task(pool.run(lambda: None, memory_kib=SMALL, client="b")))
    await asyncio.sleep(0)
    loser.cancel()
    await asyncio.gather(loser, return_exceptions=True)
    assert pool.load.running == 1
    await held.let_go()
    assert (pool.load.running, pool.load.waiting, pool.load.memory_kib) == (0, 0, 0)


async def test_callers_without_a_client_are_bounded_by_the_queue_alone(make) -> None:
    held = Held(pool := make(queue=3))
    await held.hold(1)
    for number in range(3):
        await held.queue(f"host{number}", "")
    with pytest.raises(errors.ServerBusy) as refused:
        await pool.run(lambda: None, memory_kib=SMALL)
    assert refused.value.retry_after == 5.0
    await held.let_go()
    assert held.order == ["host0", "host1", "host2"]


async def test_waiting_ends_at_the_deadline_and_leaves_no_trace(make) -> None:
    held = Held(pool := make(deadline=0.02))
    await held.hold(1)
    with pytest.raises(errors.ServerBusy):
        await pool.run(lambda: None, memory_kib=SMALL, client="a")
    assert pool.load.waiting == 0
    await held.let_go()
    await pool.run(lambda: None, memory_kib=SMALL)
    assert pool.load.computed == 2


async def test_hanging_up_does_not_free_a_thread_that_still_works(make) -> None:
    held = Held(pool := make())
    await held.hold(1)
    held.tasks[0].cancel()
    await asyncio.gather(*held.tasks, return_exceptions=True)
    waiting = await held.queue("next", "a")
    for _ in range(5):
        await asyncio.sleep(0)
    assert pool.load.running == 1
    assert not waiting.done()
    await held.let_go()
    await waiting
    assert held.order == ["next"]


async def test_who_hangs_up_while_waiting_gives_the_place_away(make) -> None:
    held = Held(pool := make())
    await held.hold(1)
    first = await held.queue("first", "a")
    await held.queue("second", "a")
    first.cancel()
    held.gate.set()  # in the same moment: the thread must go to the caller that is still there
    await asyncio.gather(*held.tasks, return_exceptions=True)
    assert held.order == ["second"]
    assert (pool.load.running, pool.load.waiting) == (0, 0)


async def test_a_place_that_is_given_at_the_very_moment_of_hanging_up_is_not_lost(make, rounds) -> None:
    pool = make()
    for number in range(rounds(300)):
        held = Held(pool)
        await held.hold(1)
        task = await held.queue("late", "a")
        held.gate.set()
        for _ in range(number % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(*held.tasks, return_exceptions=True)
        await until(lambda: pool.load.running == 0)
        assert (pool.load.waiting, pool.load.memory_kib) == (0, 0)


async def test_a_check_that_fails_in_the_thread_gives_it_back(make) -> None:
    pool = make()

    async def refuse() -> None:
        raise errors.TooManyRequests(retry_after=1.0)

    with pytest.raises(errors.TooManyRequests):
        await pool.run(lambda: None, memory_kib=SMALL, before=refuse)
    assert (pool.load.running, pool.load.computed) == (0, 0)


async def test_memory_admits_fewer_than_the_threads_would(make) -> None:
    held = Held(pool := make(count=4, memory_kib=100 * 1024))
    await held.hold(2, memory_kib=40 * 1024)
    third = await held.queue("third", "a", memory_kib=40 * 1024)
    assert not third.done()
    assert pool.load.memory_kib == 80 * 1024
    await held.let_go()
    assert held.order == ["third"]


async def test_heavy_work_runs_alone_and_is_not_starved_by_light_work(make) -> None:
    held = Held(pool := make(count=4))
    await held.hold(1)
    heavy = await held.queue("heavy", "a", memory_kib=ALONE_KIB + 1)
    await held.queue("light", "b")  # there is a thread for it, and it would be the first of an endless stream
    assert (pool.load.running, heavy.done()) == (1, False)
    await held.let_go()
    assert held.order == ["heavy", "light"]

    held = Held(pool)
    await held.hold(1, memory_kib=ALONE_KIB + 1)
    beside = await held.queue("beside", "b")
    assert (pool.load.running, beside.done()) == (1, False)
    await held.let_go()


async def test_work_beyond_the_whole_budget_still_runs_when_nothing_else_does(make) -> None:
    pool = make(memory_kib=1024)
    assert await pool.run(lambda: "done", memory_kib=4096) == "done"


async def test_waiting_can_be_observed(make) -> None:
    held = Held(pool := make())
    await held.hold(1)
    await held.queue("a", "a")
    assert (pool.load.lanes, pool.load.running, pool.load.waiting) == (1, 1, 1)
    await held.let_go()
    load = pool.load
    assert load.waited >= load.longest_wait > 0
