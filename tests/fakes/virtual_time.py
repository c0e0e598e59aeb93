"""Time that passes when nothing else is left to do: for tests that happen in one event loop alone.

Such a test takes no longer for its pauses, and a busy machine cannot reorder them. What waits for a socket,
a thread or another process needs real time, which would be skipped while they work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def virtual_time() -> Iterator[None]:
    """Let the running loop go on to the next thing that is due, instead of waiting until it is."""
    loop: Any = asyncio.get_running_loop()
    select, now = loop._selector.select, loop.time()

    def skip(timeout: float | None = None) -> Any:
        nonlocal now
        found = select(None if timeout is None else 0)
        if not found and timeout is not None:
            now += timeout
        return found

    loop.time, loop._selector.select = lambda: now, skip
    try:
        yield
    finally:
        del loop.time, loop._selector.select
