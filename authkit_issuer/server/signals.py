"""Signal handling, from the start of the process to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Signals:
    """Handles SIGINT, SIGTERM and SIGHUP while its block runs; a signal ends the block without an error.

    1. Until there is ``stop``, a signal unwinds the start, which stops what was started. Inside the loop it
       cancels ``task``, because a callback may swallow an exception raised between two instructions.
    2. Then each signal is a further step of ``stop``.
    3. While the process closes its resources, signals are ignored, so that the database stops cleanly.
    """

    def __init__(self, *, once: bool = False) -> None:
        """Prepare; no handler is installed yet.

        With ``once`` all signals together are one step: a terminal sends them to the workers, too, and only
        their parent counts them.
        """
        self.task: asyncio.Task[Any] | None = None
        self.stop: Callable[[int], None] | None = None
        self._once = once
        self._step = 0
        self._closing = self._held = self._pending = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, except for signals that are ignored on purpose, as under ``nohup``."""
        for number in STOP:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> bool:
        """Restore the previous handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is not None and issubclass(kind, KeyboardInterrupt | asyncio.CancelledError)

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Defer the first signal until the block ends: a half-started child must not get lost."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise KeyboardInterrupt

    def enter_loop(self) -> None:
        """Defer the first signal until ``entered``: raised between two callbacks, it would break the loop."""
        self._held = True

    def entered(self) -> None:
        """Cancel the running task by a signal from now on, and at once if one came meanwhile."""
        self.task, self._held = asyncio.current_task(), False
        if self._pending:
            self._pending = False
            self.to(1)

    def ignore(self) -> None:
        """Ignore signals from now on."""
        self._closing = True

    def to(self, step: int) -> None:
        """Stop the process as the signal of this number does; a step that is behind it changes nothing."""
        if self._closing or step <= self._step:
            return
        if self._held and not self._pending:
            self._pending = True
            return
        self._step = step
        if self.stop is not None:
            self.stop(step)
        elif self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
        else:
            raise KeyboardInterrupt

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self.to(1 if self._once else self._step + 1)
