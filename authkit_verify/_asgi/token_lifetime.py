"""Open connections end when the token that opened them expires.

A WebSocket is closed with 4401 and its application receives a disconnect. An event stream is aborted, so that
its client cannot mistake it for complete. Both happen at ``exp`` plus the verifier's skew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Literal, Self

from authkit_verify._asgi.authenticator import refusal_for
from authkit_verify._asgi.challenge import TOKEN_EXPIRED, deny_websocket
from authkit_verify._asgi.lease import Lease
from authkit_verify._asgi.types import ASGIApp, Message, Receive, Scope, Send
from authkit_verify.errors import TokenError

LifetimeScope = Literal["connections", "all"]
"""``connections``: WebSockets and ``text/event-stream``. ``all``: every streamed response as well."""


_EXPIRED = "the token behind this response has expired"


class StreamExpired(Exception):
    """The token expired before its response ended; raised to the server, which aborts the response."""


async def run_websocket(app: ASGIApp, scope: Scope, receive: Receive, send: Send, lease: Lease) -> None:
    """Run an application on a WebSocket that is closed when the lease ends."""
    link = _Link(scope, receive, send, lease)
    watch = asyncio.create_task(link.watch())
    try:
        await app(scope, link.receive, link.send)
    finally:
        watch.cancel()
        await asyncio.wait({watch})


class _Link:
    """The two directions of a WebSocket, and its state."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, lease: Lease) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._lease = lease
        self._over = False
        self._waiting: set[asyncio.Timeout] = set()
        self._accepted = False
        self._closed = False

    async def watch(self) -> None:
        await self._lease.ended()
        self._over = True
        for waiting in self._waiting:
            waiting.reschedule(0.0)
        if not self._closed:
            with contextlib.suppress(Exception):  # a client that has left receives nothing
                await self._notify_client()

    async def _notify_client(self) -> None:
        if self._accepted:
            await self._send({"type": "websocket.close", "code": TOKEN_EXPIRED, "reason": "token_expired"})
        else:
            refusal = refusal_for(self._scope, TokenError("token_expired", "the token has expired"))
            await deny_websocket(self._scope, self._send, refusal)

    async def receive(self) -> Message:
        waiting = asyncio.timeout(None)  # no timeout until the lease ends
        try:
            if not self._over:
                async with waiting:
                    self._waiting.add(waiting)
                    return await self._receive()
        except TimeoutError:
            if not waiting.expired():  # the server's own
                raise
        finally:
            self._waiting.discard(waiting)
        return {"type": "websocket.disconnect", "code": TOKEN_EXPIRED, "reason": "token_expired"}

    async def send(self, message: Message) -> None:
        if self._over:
            return
        if message["type"] == "websocket.accept":
            self._accepted = True
        elif message["type"] in {"websocket.close", "websocket.http.response.start"}:
            self._closed = True
        await self._send(message)


class LeasedAnswer:
    """The response to one request; an event stream is aborted when the lease ends.

    The application runs inside the ``with`` block and responds through ``send``. Raises StreamExpired to the
    server. A block, since a coroutine around the application would be a tenth of the cost of a request.
    """

    __slots__ = ("_expired", "_lease", "_send", "_streams", "_task", "_watch")

    def __init__(self, send: Send, lease: Lease, streams: LifetimeScope) -> None:
        self._send = send
        self._lease = lease
        self._streams: LifetimeScope = streams
        # The application may send from a task of its own: this is the one to cancel.
        self._task: asyncio.Task[object] | None = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self._expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        cancelled = cancelled and not self._cancelled_elsewhere()
        self._stop()
        if self._expired and (kind is None or cancelled):
            raise StreamExpired(_EXPIRED) from None

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message to the server; the first message of a stream starts the watch."""
        # Not a coroutine: most responses are not streams, and it would be half of their cost.
        if self._expired:  # an application that outlived its cancellation must not finish the response either
            raise StreamExpired(_EXPIRED)
        if self._watch is None:
            if _stays_open(message, self._streams):
                self._watch = asyncio.create_task(self._abort())
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            return self._send_last(message, self._watch)
        return self._send(message)

    async def _send_last(self, message: Message, watch: asyncio.Task[None]) -> None:
        await self._send(message)
        watch.cancel()  # work after the response, such as background tasks, is not part of the stream

    def _cancelled_elsewhere(self) -> bool:
        return self._task is not None and self._task.cancelling() > 1

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._expired and self._task is not None:
            self._task.uncancel()

    async def _abort(self) -> None:
        await self._lease.ended()
        self._expired = True
        if self._task is not None:
            self._task.cancel()


def _stays_open(message: Message, streams: LifetimeScope) -> bool:
    if message["type"] == "http.response.start":
        for name, value in message.get("headers") or ():
            if len(name) == 12 and name.lower() == b"content-type" and _is_event_stream(value):
                return True
        return False
    return streams == "all" and message["type"] == "http.response.body" and bool(message.get("more_body"))


def _is_event_stream(content_type: bytes) -> bool:
    return content_type.lower().startswith(b"text/event-stream")
