"""Rounds in which all candidates take turns in random order, and tables of the results.

Ratios are medians of the ratio inside each round: the machine's own drift cancels out, so trust them before
the microseconds.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Times = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """``run`` does the work for every item of what ``feed`` returns; only ``run`` is timed."""

    run: Callable[[list[str]], Awaitable[None]]
    feed: Callable[[], list[str]]


async def alternate(candidates: dict[str, Candidate], rounds: int) -> Times:
    """Return the microseconds per item, one number per round, after one round that is not counted."""
    times: Times = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name in random.sample(list(candidates), len(candidates)):
            items = candidates[name].feed()
            start = time.perf_counter()
            await candidates[name].run(items)
            passed = time.perf_counter() - start
            if number:
                times[name].append(passed / len(items) * 1e6)
    return times


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratio inside each round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table that also reads well as plain text."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def short(value: float) -> str:
    """Return a number with about three digits."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio with a lower or an upper limit; a run fails for a missed one if it is ``gated``."""

    what: str
    got: float
    least: float | None = None
    most: float | None = None
    gated: bool = True

    @property
    def met(self) -> bool:
        return self.got >= (self.least or 0.0) and (self.most is None or self.got <= self.most)

    def row(self) -> list[str]:
        wanted = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        missed = "MISSED" if self.gated else "open"
        return [self.what, wanted, short(self.got), "met" if self.met else missed]


def judged(goals: Sequence[Goal]) -> bool:
    """Print the goals and their results; True if all gated ones were met."""
    print("\n" + table(["goal", "", "measured", ""], [goal.row() for goal in goals]))
    return all(goal.met or not goal.gated for goal in goals)
