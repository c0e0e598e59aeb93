"""Known devices in the hashing pool: a queue and a share of their own, at the cost of no other client."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from authkit_issuer import errors
from authkit_issuer.security.hashing_pool import ALONE_KIB, HashingPool

SMALL = 64


class Stage:
    """Callers of a pool whose work ends when the test says so."""

    def __init__(self, pool: HashingPool) -> None:
        self.pool = pool
        self.admitted: list[str] = []
        self.running: dict[str, tuple[bool, int]] = {}
        self.waiting: dict[str, asyncio.Task[None]] = {}
        self.known: dict[str, bool] = {}

    async def arrive(
        self, name: str, *, known: bool = False, client: str = "", memory_kib: int = SMALL
    ) -> None:
        async def wait() -> None:
            try:
                self.known[name] = await self.pool._admit(memory_kib, client, known=known)
            except errors.ServerBusy:
                return  # no place to wait
            finally:
                self.waiting.pop(name, None)
            self.admitted.append(name)
            self.running[name] = (self.known[name], memory_kib)

        self.known[name] = known
        self.waiting[name] = asyncio.create_task(wait())
        await still()

    async def finish(self, name: str) -> None:
        known, memory_kib = self.running.pop(name)
        self.pool._release(memory_kib, known=known)
        await still()


async def still() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


@pytest.fixture
def make() -> Iterator[object]:
    made: list[HashingPool] = []

    def build(**fields: float) -> Stage:
        usual = {"count": 1, "memory_kib": 256 * 1024, "queue": 16, "deadline": 5.0}
        made.append(HashingPool(**(usual | fields)))  # type: ignore[arg-type]
        return Stage(made[-1])

    yield build
    for pool in made:
        pool.close()


async def test_a_known_caller_passes_the_unknown_clients_and_they_pass_the_next_one(make) -> None:
    stage = make()
    await stage.arrive("running")
    for number in range(3):
        await stage.arrive(f"unknown{number}", client=f"net{number}")
    for number in range(3):
        await stage.arrive(f"known{number}", known=True, client=f"device{number}")
    turn = "running"
    while stage.running:
        await stage.finish(turn)
        turn = next(iter(stage.running), "")
    assert stage.admitted[1:] == ["known0", "unknown0", "known1", "unknown1", "known2", "unknown2"]


async def test_one_thread_of_several_is_their_share_while_unknown_clients_wait(make) -> None:
    stage = make(count=3)
    for number in range(3):
        await stage.arrive(f"running{number}")
    for number in range(4):
        await stage.arrive(f"unknown{number}", client=f"net{number}")
        await stage.arrive(f"known{number}", known=True, client=f"device{number}")
    for number in range(3):
        await stage.finish(f"running{number}")
    assert stage.admitted[3:] == ["known0", "unknown0", "unknown1"]
    await stage.finish("known0")
    assert stage.admitted[6:] == ["known1"]


async def test_nothing_is_kept_idle_for_either(make) -> None:
    stage = make(count=2)
    await stage.arrive("known0", known=True, client="a")
    await stage.arrive("known1", known=True, client="b")
    assert list(stage.running) == ["known0", "known1"]
    await stage.arrive("known2", known=True, client="c")
    await stage.finish("known0")
    assert list(stage.running) == ["known1", "known2"]


async def test_unknown_clients_cannot_fill_the_places_of_known_callers(make) -> None:
    stage = make(queue=2)
    await stage.arrive("running")
    for number in range(2):
        await stage.arrive(f"unknown{number}", client=f"net{number}")
    with pytest.raises(errors.ServerBusy):
        await stage.pool._admit(SMALL, "net9", known=False)
    for number in range(2):
        await stage.arrive(f"known{number}", known=True, client=f"user{number}")
    # Their own queue full as well, they wait with the unknown clients.
    with pytest.raises(errors.ServerBusy):
        await stage.pool._admit(SMALL, "another user", known=True)
    assert len(stage.waiting) == 4
    await stage.finish("running")
    await stage.arrive("known2", known=True, client="another user")
    assert "known2" in stage.waiting


async def test_of_one_device_two_may_wait(make) -> None:
    stage = make()
    await stage.arrive("running")
    for number in range(2):
        await stage.arrive(f"known{number}", known=True, client="device")
    with pytest.raises(errors.ServerBusy):
        await stage.pool._admit(SMALL, "device", known=True)


async def test_heavy_work_of_an_unknown_client_has_its_turn_among_known_callers(make) -> None:
    stage = make(count=2)
    await stage.arrive("running")
    await stage.arrive("heavy", client="net", memory_kib=ALONE_KIB + 1)
    for number in range(4):
        await stage.arrive(f"known{number}", known=True, client=f"device{number}")
    assert stage.admitted == ["running", "known0"]
    await stage.finish("running")
    await stage.finish("known0")
    assert list(stage.running) == ["heavy"]


async def test_as_callers_come_and_go_none_is_lost_starved_or_let_in_too_many(make, rounds) -> None:
    for seed in range(rounds(300)):
        dice = random.Random(seed)
        stage = make(count=dice.choice([1, 2, 4]), memory_kib=512, queue=6)
        pool, streak = stage.pool, 0
        for number in range(120):
            seen = len(stage.admitted)
            unknown = {name for name in stage.waiting if not stage.known[name]}
            await act(stage, dice, f"caller{number}")
            for name in stage.admitted[seen:]:
                streak = streak + 1 if stage.known[name] else 0
            streak = streak if unknown & stage.waiting.keys() else 0
            assert streak <= 1, seed
            load = pool.load
            assert load.running == len(stage.running) <= pool.count
            assert load.waiting == len(stage.waiting)
            assert load.memory_kib <= 512 or load.running == 1
            assert stage.running or not stage.waiting, "idle while somebody waits"
        while stage.running:
            await stage.finish(dice.choice(list(stage.running)))
        assert (pool.load.running, pool.load.waiting, pool.load.memory_kib) == (0, 0, 0)
        assert pool._known_running == 0


async def act(stage: Stage, dice: random.Random, name: str) -> None:
    """Do one thing of the three that can happen."""
    what = dice.random()
    if what < 0.5 or not stage.running:
        known = dice.random() < 0.5
        memory_kib = dice.choice([64, 64, 200, ALONE_KIB + 1])
        await stage.arrive(name, known=known, client=f"{dice.randrange(5)}", memory_kib=memory_kib)
    elif what < 0.9 or not stage.waiting:
        await stage.finish(dice.choice(list(stage.running)))
    else:
        stage.waiting[dice.choice(list(stage.waiting))].cancel()
        await still()
