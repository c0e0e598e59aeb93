"""Signal handling, from the start of the process to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

import uvicorn

_STOP = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Signals:
    """Handles SIGINT, SIGTERM and SIGHUP while its block runs; a signal ends the block without an error.

    1. Until there is a ``server``, a signal unwinds the start, which stops what was started. Inside the loop
       it cancels ``task``, because a callback may swallow an exception raised between two instructions.
    2. Then the first signal starts ``drain``, if there is one, which gets what stops the server. The next one
       asks the server to finish, and one more not to wait.
    3. While the process closes its resources, signals are ignored, so that the database stops cleanly.
    """

    def __init__(self) -> None:
        """Prepare; no handler is installed yet."""
        self.task: asyncio.Task[None] | None = None
        self.server: uvicorn.Server | None = None
        self.drain: Callable[[Callable[[], None]], None] | None = None
        self._closing = self._held = self._pending = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers, except for signals that are ignored on purpose, as under ``nohup``."""
        for number in _STOP:
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

    def ignore(self) -> None:
        """Ignore signals from now on."""
        self._closing = True

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._closing:
            return
        if self._held and not self._pending:
            self._pending = True
            return
        server = self.server
        if server is not None and self.drain is not None and self.task is not None:
            drain, self.drain = self.drain, None
            self.task.get_loop().call_soon_threadsafe(drain, lambda: server.handle_exit(number, frame))
        elif server is not None:
            server.force_exit = server.should_exit
            server.handle_exit(number, frame)
        elif self.task is not None:
            self.task.get_loop().call_soon_threadsafe(self.task.cancel)
        else:
            raise KeyboardInterrupt
