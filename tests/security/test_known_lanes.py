"""Known callers in the lanes: a line and a share of their own, at nobody's cost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from authkit_issuer import errors
from authkit_issuer.security.hashing_pool import ALONE_KIB, HashingPool

SMALL = 64


class Stage:
    """Callers of lanes whose work ends when the test says so."""

    def __init__(self, lanes: HashingPool) -> None:
        self.lanes = lanes
        self.admitted: list[str] = []
        self.running: dict[str, tuple[bool, int]] = {}
        self.waiting: dict[str, asyncio.Task[None]] = {}
        self.known: dict[str, bool] = {}

    async def arrive(
        self, name: str, *, known: bool = False, client: str = "", memory_kib: int = SMALL
    ) -> None:
        async def wait() -> None:
            try:
                self.known[name] = await self.lanes._admit(memory_kib, client, known=known)
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
        self.lanes._release(memory_kib, known=known)
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
    for lanes in made:
        lanes.close()


async def test_a_known_caller_passes_the_strangers_and_they_pass_the_next_one(make) -> None:
    stage = make()
    await stage.arrive("running")
    for number in range(3):
        await stage.arrive(f"stranger{number}", client=f"net{number}")
    for number in range(3):
        await stage.arrive(f"known{number}", known=True, client=f"device{number}")
    turn = "running"
    while stage.running:
        await stage.finish(turn)
        turn = next(iter(stage.running), "")
    assert stage.admitted[1:] == ["known0", "stranger0", "known1", "stranger1", "known2", "stranger2"]


async def test_one_lane_of_several_is_their_share_while_strangers_wait(make) -> None:
    stage = make(count=3)
    for number in range(3):
        await stage.arrive(f"running{number}")
    for number in range(4):
        await stage.arrive(f"stranger{number}", client=f"net{number}")
        await stage.arrive(f"known{number}", known=True, client=f"device{number}")
    for number in range(3):
        await stage.finish(f"running{number}")
    assert stage.admitted[3:] == ["known0", "stranger0", "stranger1"]
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


async def test_strangers_cannot_fill_the_places_of_known_callers(make) -> None:
    stage = make(queue=2)
    await stage.arrive("running")
    for number in range(2):
        await stage.arrive(f"stranger{number}", client=f"net{number}")
    with pytest.raises(errors.ServerBusy):
        await stage.lanes._admit(SMALL, "net9", known=False)
    for number in range(2):
        await stage.arrive(f"known{number}", known=True, client="one user")
    # Their own line full as well, they are as good as strangers.
    with pytest.raises(errors.ServerBusy):
        await stage.lanes._admit(SMALL, "another user", known=True)
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
        await stage.lanes._admit(SMALL, "device", known=True)


async def test_heavy_work_of_a_stranger_has_its_turn_among_known_callers(make) -> None:
    stage = make(count=2)
    await stage.arrive("running")
    await stage.arrive("heavy", client="net", memory_kib=ALONE_KIB + 1)
    for number in range(4):
        await stage.arrive(f"known{number}", known=True, client=f"device{number}")
    assert stage.admitted == ["running", "known0"]
    await stage.finish("running")
    await stage.finish("known0")
    assert list(stage.running) == ["heavy"]


async def test_whoever_comes_and_goes_nobody_is_lost_starved_or_let_in_too_many(make, rounds) -> None:
    for seed in range(rounds(300)):
        dice = random.Random(seed)
        stage = make(count=dice.choice([1, 2, 4]), memory_kib=512, queue=6)
        lanes, streak = stage.lanes, 0
        for number in range(120):
            seen = len(stage.admitted)
            strangers = {name for name in stage.waiting if not stage.known[name]}
            await act(stage, dice, f"caller{number}")
            for name in stage.admitted[seen:]:
                streak = streak + 1 if stage.known[name] else 0
            streak = streak if strangers & stage.waiting.keys() else 0
            assert streak <= 1, seed
            load = lanes.load
            assert load.running == len(stage.running) <= lanes.count
            assert load.waiting == len(stage.waiting)
            assert load.memory_kib <= 512 or load.running == 1
            assert stage.running or not stage.waiting, "idle while somebody waits"
        while stage.running:
            await stage.finish(dice.choice(list(stage.running)))
        assert (lanes.load.running, lanes.load.waiting, lanes.load.memory_kib) == (0, 0, 0)
        assert lanes._known_running == 0


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
