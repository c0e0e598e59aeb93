"""A clock that stands still until told otherwise."""

from __future__ import annotations

import time

MOMENT = 0.3
"""Seconds until the token of a test ends, where its end is waited for."""


class FakeClock:
    """Returns Unix seconds; starts at the real time, because rows are stamped by the database's own clock."""

    def __init__(self, now: float | None = None) -> None:
        self.now = float(int(time.time())) if now is None else now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let that much time pass in this process; the database's clock is moved with ``age``."""
        self.now += seconds
