"""Cancellations from inside the work of a host: what it waited for was cancelled, and not its caller.

``CancelledError`` is no ``Exception``. It would end a loop that calls the work, without a line of log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class WorkCancelled(Exception):
    """Something that the work waited for was cancelled."""


@contextmanager
def as_failure() -> Generator[None]:
    """Turn a cancellation that was not asked of the current task into ``WorkCancelled``."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise WorkCancelled from error
