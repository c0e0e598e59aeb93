"""A mixed load at half of what one process can do: what fails, what grows, and how long refreshes wait.

    python benchmarks/steady.py [minutes]

One issuer runs as in production on a processor of its own, with PostgreSQL and Redis beside the load. Its
capacity is what it does for connections that never pause. Then half as many requests a second come, at fixed
times, whether earlier ones were answered or not, for so many minutes: 3 unless given, 60 are the proof. A
latency counts from the moment at which the request was due. The exit status is 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
import warnings
from collections import deque
from dataclasses import dataclass, field, replace

import uvloop
from beside.contenders import ours
from beside.processes import Process
from beside.rounds import Goal, judged, short, table
from beside.seats import Seat
from beside.stage import set_stage

SEATS, WINDOWS = 47, 12  # no multiple of the mixture's length, so that every connection does everything
AT_ONCE, CALIBRATION = 16, 8.0
"""Connections, and seconds, of the run that finds the capacity."""
ENOUGH = 1000
"""Refreshes in a window whose p99 counts: that of fewer is chance."""
TURN = ("refresh", "who", "refresh", "refresh", "sign in", "who", "refresh", "keys", "refresh", "sign out")
"""What the requests are, again and again; sign-ins and sign-outs keep the number of sessions level."""


@dataclass(slots=True)
class Window:
    """A twelfth of the run."""

    waits: dict[str, list[float]] = field(default_factory=lambda: {what: [] for what in TURN})
    """Seconds from the moment a request was due to its answer."""
    failed: list[str] = field(default_factory=list)
    unsent: int = 0
    """Requests that were due while every connection still waited for an answer."""
    memory: float = 0.0
    descriptors: int = 0

    def worst(self, what: str, share: float = 0.99) -> float:
        """Return the wait in milliseconds that this share does not exceed."""
        waits = sorted(self.waits[what])
        return waits[min(len(waits) - 1, int(len(waits) * share))] * 1e3 if waits else 0.0

    def row(self) -> list[str]:
        sent = sum(map(len, self.waits.values()))
        return [
            str(sent), str(len(self.failed)), str(self.unsent),
            *(short(self.worst("refresh", share)) for share in (0.5, 0.99)), short(self.worst("who")),
            f"{self.memory:.1f}", str(self.descriptors),
        ]  # fmt: skip


async def capacity(seats: list[Seat]) -> float:
    """Return the requests per second of connections that never pause."""
    ends = time.perf_counter() + CALIBRATION

    async def keep_asking(seat: Seat, begin: int) -> int:
        done = 0
        while time.perf_counter() < ends:
            await seat.act(TURN[(begin + done) % len(TURN)])
            done += 1
        return done

    done = await asyncio.gather(*(keep_asking(seat, at) for at, seat in enumerate(seats[:AT_ONCE])))
    return sum(done) / CALIBRATION


async def hold(process: Process, seats: list[Seat], rate: float, seconds: float) -> list[Window]:
    """Send so many requests a second for so long; return what each window met."""
    free, tasks = deque(seats), set[asyncio.Task[None]]()
    windows = [Window() for _ in range(WINDOWS)]

    async def act(seat: Seat, what: str, due: float, window: Window) -> None:
        try:
            await seat.act(what)
        except (OSError, ValueError) as error:
            window.failed.append(f"{what}: {error}")
            await seat.open()
        else:
            window.waits[what].append(time.perf_counter() - due)
        free.append(seat)

    began, count = time.perf_counter(), int(rate * seconds)
    for number in range(count):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        window = windows[number * WINDOWS // count]
        if free:
            task = asyncio.create_task(act(free.popleft(), TURN[number % len(TURN)], due, window))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            window.unsent += 1
        if (number + 1) * WINDOWS // count > number * WINDOWS // count:
            window.memory, window.descriptors = process.memory(), process.descriptors()
            print(f"{(number + 1) / count:.0%} {' '.join(window.row())}", file=sys.stderr)
    await asyncio.gather(*tasks)
    return windows


def goals(windows: list[Window]) -> list[Goal]:
    """Return the goals of a steady load, by the first window and the worst of the others."""
    first, later = windows[0], windows[1:]
    return [
        Goal("requests that failed", sum(len(each.failed) for each in windows), most=0),
        Goal("requests that were not sent", sum(each.unsent for each in windows), most=0),
        Goal("resident memory, end / third window", windows[-1].memory / windows[2].memory, most=1.05),
        Goal("descriptors more at the end", max(0, later[-1].descriptors - first.descriptors), most=4),
        Goal(
            "p99 of refreshes, worst window / first",
            max(each.worst("refresh") for each in later) / first.worst("refresh"),
            most=3.0,
            gated=len(first.waits["refresh"]) >= ENOUGH,
        ),
    ]


async def main(minutes: float) -> bool:
    async with set_stage() as stage:
        issuer, _ = await ours(stage)
        lasting = {
            # One window: in the third one, as many tokens expire as are issued.
            "AUTHKIT_ACCESS_TOKEN_DURATION": str(minutes * 60 / WINDOWS),
            "AUTHKIT_SESSION_MAX_PER_USER": "none",
        }
        process = replace(issuer, env=issuer.env | lasting).start(stage.folder)
        try:
            seats = [Seat(number, process.port) for number in range(SEATS)]
            for seat in seats:
                await seat.begin()
            most = await capacity(seats)
            windows = await hold(process, seats, most / 2, minutes * 60)
        finally:
            process.stop()
    print(f"{minutes:g} minutes at {most / 2:.0f} requests/s, half of {most:.0f}\n")
    head = ["sent", "failed", "unsent", "refresh p50 ms", "p99 ms", "who am I p99 ms", "MB", "descriptors"]
    print(table(head, [window.row() for window in windows]))
    for failure in [failure for window in windows for failure in window.failed][:10]:
        print(failure)
    return judged(goals(windows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("minutes", nargs="?", type=float, default=3.0)
    warnings.simplefilter("ignore")
    logging.disable()  # the issuer says that it cannot send mail
    sys.exit(not uvloop.run(main(parser.parse_args().minutes)))
