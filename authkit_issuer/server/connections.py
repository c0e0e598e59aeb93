"""Bounds on each connection: the size of request headers, and a deadline for them.

The parser has no bound of its own: a connection could send headers without end, or none at all. Bodies are
bounded where they are read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 32 * 1024
"""The most bytes of a request line with its headers."""
HEAD_DEADLINE = 10.0
"""Seconds from the first byte, or from the connection, to the end of the headers."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class HeadTooLarge(Exception):
    """Makes the parser stop."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol with heads of at most 32 KiB, complete within ten seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Wait for the first head."""
        super().__init__(*args, **kwargs)
        self._in_head, self._begun = True, False
        self._received = 0
        self._fields = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: the first head is due from the connection on."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the parser, and count those of an unfinished head."""
        if self._in_head and self._deadline is None:
            self._start_clock()
        self._received += len(data)
        super().data_received(data)
        if self._begun and self._deadline is None:
            self._start_clock()
        if self._in_head and self._received > MAX_HEAD:
            self._refuse()

    def on_message_begin(self) -> None:
        """Count from zero."""
        self._begun, self._fields = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one field; many short ones cost far more than their bytes."""
        self._fields += len(name) + len(value) + 32
        if self._fields > MAX_HEAD:
            raise HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the request run."""
        self._begun = self._in_head = False
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next head; until its first byte, uvicorn's keep-alive timeout applies."""
        super().on_message_complete()
        # Bytes of a next head that came along are not counted: they are one read at most.
        self._in_head, self._received = True, 0

    def _start_clock(self) -> None:
        self._deadline = self.loop.call_later(HEAD_DEADLINE, self._too_late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self._is_answering():
            self._start_clock()
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if not self._is_answering():
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _is_answering(self) -> bool:
        # A client may send its next request during the response to this one.
        # Before the first request the cycle is None, although its type excludes that.
        return bool(self.cycle) and not self.cycle.response_complete
