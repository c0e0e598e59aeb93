"""Bounds on each connection: bytes and seconds of a request, kept by the protocol.

The parser has no bound of its own: a connection could send headers or a body without end, or none at all. A
bound that only the reader of a body keeps is none once a request was answered without reading it.
``connection_limit`` bounds the number of connections.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from authkit_issuer.http.request_body import WHOLE, announces_body
from authkit_issuer.server.connection_limit import Places

MAX_HEAD = 32 * 1024
"""The most bytes of a request line with its headers."""
HEAD_DEADLINE = 10.0
"""Seconds from the first byte, or from the connection, to the end of the headers."""
BODY_DEADLINE = 20.0
"""Seconds from the headers to the end of the body; one that is read is due earlier, and answered with 408."""
MAX_BODY = 1024 * 1024
"""The most bytes of a body on the wire; an application bounds the content, which chunks can hide in more."""
LINGER = 1.0
"""Seconds for which the rest of a request is read and discarded after an early answer, so that it arrives."""
MAX_LINGER = 64 * 1024
"""The most bytes of such a rest."""
MAX_PIPELINED = 16
"""Requests of a connection that wait behind the one that runs; one read may bring thousands."""
WRITE_DEADLINE = 30.0
"""Seconds in which a client has to read what it was sent, where that no longer fits the buffers."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
)


class HeadTooLarge(Exception):
    """Makes the parser stop."""


class TooManyRequests(Exception):
    """Makes the parser stop."""


class UpgradeWithBody(Exception):
    """Makes the parser stop."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol with a bound of bytes and seconds for head, body, its rest, and answer."""

    def __init__(
        self,
        *args: Any,
        places: Places | None = None,
        last_request: Callable[[], bool] | None = None,
        **kwargs: Any,
    ) -> None:
        """Wait for the first head.

        ``places`` counts the connections of this process; each ends with its next response while
        ``last_request`` returns True.
        """
        super().__init__(*args, **kwargs)
        self._last_request = last_request
        self._answer, self.app = self.app, self._run
        self._places = places
        self._admitted = False
        self._in_head, self._begun = True, False
        self._received = 0
        self._fields = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._rest: int | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._unanswered: deque[RequestResponseCycle] = deque()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: the first head is due from the connection on."""
        super().connection_made(transport)
        self._admitted = self._places is None or self._places.take(self._peer())
        if not self._admitted:
            transport.write(_FULL)
            transport.close()
            return
        self._start_clock(HEAD_DEADLINE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks, give the place back, and tell every request that its client is gone.

        uvicorn tells the newest alone: an earlier one would write to a closed socket, and fail.
        """
        for cycle in self._unanswered:
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        self._stop_clock()
        self._stop_write_clock()
        if self._admitted and self._places is not None:
            self._places.give_back(self._peer())
        self._admitted = False
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the parser, and count those of an unfinished request."""
        if self._rest is not None:
            self._discard(len(data))
            return
        if not self._admitted:
            return
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():  # refused, perhaps before there was a request to wait for
            return
        # Most requests come whole, and need no clock.
        if not self._in_head:
            self._await_body()
            if self._received > MAX_BODY:
                self._close()
            return
        if (self._received or self._begun) and self._deadline is None:
            self._start_clock(HEAD_DEADLINE)
        if self._received > MAX_HEAD:
            self._refuse()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer what came whole before the client closed its half; True keeps the other half open."""
        if not self._is_answering() or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_message_begin(self) -> None:
        """Count from zero."""
        self._begun, self._fields = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one field; many short ones cost far more than their bytes.

        The fields of a trailer are dropped. Among the headers, a client could put its own words there behind
        those of a proxy (RFC 9110 section 6.5.1).
        """
        self._fields += len(name) + len(value) + 32
        if self._fields > MAX_HEAD:
            raise HeadTooLarge
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the request run.

        After a request for another protocol (``Upgrade``, ``CONNECT``) the parser looks for no body: it would
        take one for the next request, whose answer a proxy would give to another client. Such a request is
        refused, and one without a body is the last of its connection (RFC 9112 section 11.2).
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooManyRequests
        upgrade = self.parser is not None and self.parser.should_upgrade()
        if upgrade and announces_body(self.headers):
            raise UpgradeWithBody
        self._begun = self._in_head = False
        self._received = 0
        self._stop_clock()
        super().on_headers_complete()
        self._unanswered.append(self.cycle)
        if upgrade:
            self.cycle.keep_alive, self._rest = False, MAX_LINGER

    def on_message_complete(self) -> None:
        """Wait for the next head; until its first byte, uvicorn's keep-alive timeout applies."""
        self._stop_clock()
        super().on_message_complete()
        # Bytes of a next head that came along are not counted: they are one read at most.
        self._in_head, self._received = True, 0

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, and announce the end of the connection if its body is not there by then."""
        # A request that another one followed is complete.
        scope[WHOLE] = self.cycle.scope is not scope or not self.cycle.more_body

        async def announced(message: Any) -> None:
            cycle = self.cycle
            if message["type"] == "http.response.start" and cycle.scope is scope:
                last = self._last_request is not None and self._last_request()
                if last or cycle.more_body:
                    cycle.keep_alive = False
            await send(message)

        await self._answer(scope, receive, announced)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take; not in place of the answer to a request before it."""
        if not self._is_answering():
            super().send_400_response(msg)
        elif not self.cycle.more_body:
            # What came whole is answered, with the end of the connection; the rest is not read.
            self.cycle.keep_alive = False
            self._rest = MAX_LINGER
        elif self.pipeline or self.cycle.response_started:
            self._close()
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Begin with the next request, or wait for the client to read the last answer."""
        self._unanswered.popleft()
        super().on_response_complete()
        if self._admitted and self.transport.is_closing():
            self._start_write_clock()

    def timeout_keep_alive_handler(self) -> None:
        """Close the idle connection."""
        super().timeout_keep_alive_handler()
        self._start_write_clock()

    def pause_writing(self) -> None:
        """Let the answer wait for its client, but not without end."""
        super().pause_writing()
        self._start_write_clock()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_write_clock()

    def end_answer(self) -> None:
        """Close the connection once the answer is out; if the request is not complete, read a bit longer.

        A close with bytes unread resets the connection, and the client may lose the answer (RFC 9112
        section 9.6).
        """
        if self._in_head or self.transport.is_closing():
            self._close()
            return
        self._rest = MAX_LINGER
        self._stop_clock()
        self._start_clock(LINGER)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _await_body(self) -> None:
        """Give the rest of a body its deadline; its request runs by now, and may be answered before."""
        if self._deadline is None:
            self.cycle.transport = cast("asyncio.Transport", _Answering(self))
            self._start_clock(BODY_DEADLINE)

    def _discard(self, size: int) -> None:
        self._rest = (self._rest or 0) - size
        if self._rest < 0:
            self._close()

    def _peer(self) -> str | None:
        return self.client[0] if self.client else None

    def _start_clock(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self._too_late)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        """Close the connection once everything is sent; a client that reads nothing does not keep it."""
        self.transport.close()
        self._start_write_clock()

    def _start_write_clock(self) -> None:
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(WRITE_DEADLINE, self.transport.abort)

    def _stop_write_clock(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self._in_head and self._is_answering():
            self._start_clock(HEAD_DEADLINE)
        elif not self.transport.is_closing():
            self._close()

    def _refuse(self) -> None:
        if self.transport.is_closing():
            return
        if not self._is_answering():
            self.transport.write(_TOO_LARGE)
        self._close()

    def _is_answering(self) -> bool:
        # A client may send its next request during the response to this one.
        # Before the first request the cycle is None, although its type excludes that.
        return bool(self.cycle) and not self.cycle.response_complete


class _Answering:
    """The transport of an answer to a request with a body: its end is not always the connection's."""

    def __init__(self, protocol: BoundedHttp) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.end_answer
