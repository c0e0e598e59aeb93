"""What the process does when it is asked to stop, from its first moment to its last."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn

_STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Signals:
    """Takes the signals while its block runs; a block that a signal ended ends quietly.

    Until there is a ``server``, a signal unwinds the start, so that what was started is stopped again; inside
    the loop by cancelling ``task``, because an exception out of nowhere may be swallowed by a callback. Then
    the first one asks the server to finish and the second one not to wait. While things are being closed,
    none counts: a half-stopped database helps nobody.
    """

    def __init__(self) -> None:
        """Prepare; nothing is taken yet."""
        self.task: asyncio.Task[None] | None = None
        self.server: uvicorn.Server | None = None
        self._closing = self._held = self._pending = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the signals, except those that are ignored on purpose, as under ``nohup``."""
        for number in _STOP:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> bool:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        return kind is not None and issubclass(kind, KeyboardInterrupt | asyncio.CancelledError)

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Put a first signal off until the block ends: what is being started must not get lost halfway."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Let the closing finish."""
        self._closing = True

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._closing:
            return
        if self._held and not self._pending:
            self._pending = True
            return
        if self.server is not None:
            self.server.force_exit = self.server.should_exit
            self.server.handle_exit(number, frame)
        elif self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
        else:
            raise KeyboardInterrupt
