"""``benchmarks/steady.py``: what counts as a failure, as a wait, and as growth."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import steady
from beside.rounds import judged


class FakeSeat:
    """A connection whose answers take as long as the test says, or fail."""

    def __init__(self, takes: float = 0.0, fails: str = "") -> None:
        self.takes, self.fails = takes, fails
        self.asked: list[str] = []
        self.opened = 0

    async def act(self, what: str) -> None:
        self.asked.append(what)
        await asyncio.sleep(self.takes)
        if what == self.fails:
            raise ConnectionError("HTTP/1.1 503")

    async def open(self) -> None:
        self.opened += 1


PROCESS: Any = SimpleNamespace(memory=lambda: 100.0, descriptors=lambda: 50)


async def held(seats: list[FakeSeat]) -> list[steady.Window]:
    among: Any = seats
    return await steady.hold(PROCESS, among, rate=1200, seconds=0.2)


async def test_every_request_is_sent_once_and_counted_in_its_window() -> None:
    seats = [FakeSeat() for _ in range(40)]
    windows = await held(seats)
    asked = Counter(what for seat in seats for what in seat.asked)
    assert asked == Counter({what: 24 * count for what, count in Counter(steady.TURN).items()})
    assert [sum(map(len, window.waits.values())) + window.unsent for window in windows] == [20] * 12
    assert all((window.memory, window.descriptors) == (100.0, 50) for window in windows)


async def test_a_refusal_is_a_failure_and_the_connection_is_opened_again() -> None:
    seats = [FakeSeat(fails="keys") for _ in range(40)]
    windows = await held(seats)
    failed = [failure for window in windows for failure in window.failed]
    assert failed == ["keys: HTTP/1.1 503"] * 24
    assert sum(seat.opened for seat in seats) == 24
    assert not judged(steady.goals(windows))


async def test_what_no_connection_is_free_for_is_counted() -> None:
    windows = await held([FakeSeat(takes=0.05)])
    assert sum(window.unsent for window in windows) > 200
    assert not judged(steady.goals(windows))


@pytest.mark.parametrize(("memory", "descriptors", "wait"), [(106, 50, 10), (100, 55, 10), (100, 50, 31)])
def test_growth_misses_a_goal(memory: float, descriptors: int, wait: float) -> None:
    def window(memory: float, descriptors: int, wait: float) -> steady.Window:
        made = steady.Window(memory=memory, descriptors=descriptors)
        made.waits["refresh"] = [wait / 1e3] * 1000
        return made

    first = window(100, 50, 10)
    assert judged(steady.goals([first, first, first, window(104, 53, 29), window(104, 53, 10)]))
    assert not judged(steady.goals([first, first, first, window(memory, descriptors, wait)]))
