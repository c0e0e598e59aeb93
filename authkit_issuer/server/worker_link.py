"""What a worker and its parent say to each other over a pair of sockets, one byte at a time.

The parent sends the number of the step to take. The worker sends ``READY``, then ``ALIVE`` every few seconds,
or ``FAILED`` with the reason why it did not start. When the parent is gone, the worker stops.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from authkit_issuer.server.signals import Signals

READY, ALIVE, FAILED = b"R", b"A", b"F"
PULSE = 2.0
"""Seconds between two signs of life."""


class WorkerEnd:
    """The end of the worker: carries orders out, and reports."""

    def __init__(self, link: socket.socket, signals: Signals, last: int) -> None:
        """Take the socket; ``last`` is the step to take when the parent is gone."""
        self._link = link
        self._signals = signals
        self._last = last

    def begin(self) -> None:
        """Listen to the parent, inside the loop."""
        self._link.setblocking(False)
        asyncio.get_running_loop().add_reader(self._link, self._obey)

    def ready(self) -> None:
        """Report that requests are answered, and from now on that the loop runs."""
        self._send(READY)
        self._beat()

    def failed(self, reason: str) -> None:
        """Report why the worker did not start."""
        self._send(FAILED + reason.encode())

    def _beat(self) -> None:
        self._send(ALIVE)
        asyncio.get_running_loop().call_later(PULSE, self._beat)

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # the parent is gone: its end of the link says so
            self._link.send(message)

    def _obey(self) -> None:
        try:
            steps = self._link.recv(64)
        except BlockingIOError:
            return
        except OSError:
            steps = b""
        if not steps:
            asyncio.get_running_loop().remove_reader(self._link)
        self._signals.to(max(steps, default=self._last))
