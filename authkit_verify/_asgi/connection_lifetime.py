"""Open connections end when the token that opened them expires.

A WebSocket is closed with 4401 and its application receives a disconnect. One that goes on receives an
``OSError``, as servers raise after a client that has left. An event stream is aborted, so that its client
cannot mistake it for complete, and an application that waits for a disconnect receives one. Both happen at
``exp`` plus the verifier's skew. A stream of a WSGI application inside a2wsgi is silent from then on, and is
aborted when the application ends it. ``lease`` holds the time, and extends it with a new token.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Self

from authkit_verify._asgi.authenticator import refusal_for
from authkit_verify._asgi.challenge import (
    DENIED,
    TOKEN_EXPIRED,
    AccessDenied,
    Challenge,
    Refusal,
    deny_websocket,
    send_refusal,
)
from authkit_verify._asgi.credentials import uses_dpop
from authkit_verify._asgi.lease import Lease
from authkit_verify._asgi.types import ASGIApp, Message, Receive, Scope, Send
from authkit_verify.errors import TokenError

LifetimeScope = Literal["connections", "all"]
"""``connections``: WebSockets and ``text/event-stream``. ``all``: every streamed response as well."""


_EXPIRED = "the token behind this response has expired"
_OVER = "the WebSocket is closed: its token has expired, or its caller was refused"
_PATIENCE = 1.0
"""Seconds in which an application reads its disconnect and cleans up. What it sends meanwhile is dropped."""
_SLOW_CLIENT = 20.0
"""Seconds in which a client takes what was sent to it before the end of its WebSocket."""


class StreamExpired(Exception):
    """The token expired before its response ended; raised to the server, which aborts the response."""


class WebSocketOver(OSError):
    """The WebSocket is over; raised to an application that goes on, as servers do once a client has left."""


async def run_websocket(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, lease: Lease | None
) -> None:
    """Run an application on a WebSocket that is closed when the lease ends, or when it denies its caller."""
    link = _Link(scope, receive, send)
    watch = asyncio.create_task(link.watch(lease)) if lease is not None else None
    try:
        with contextlib.suppress(WebSocketOver):
            await app(scope, link.receive, link.send)
    except (TokenError, AccessDenied) as error:
        if not await link.refuse(error):
            raise
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.wait({watch})


class _Calls:
    """The calls of one application to the server, until its time is over."""

    __slots__ = ("_call", "over", "waiting")

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call
        self.waiting: set[asyncio.Task[Any]] = set()
        self.over = False

    async def __call__(self, *message: Message) -> Any:
        """Return what the server returns; None if the time is over."""
        # As asyncio.timeout does, without the cost of one: every body is read through here.
        if self.over:
            return None
        task = asyncio.current_task()
        if task is None:  # a server without tasks
            return await self._call(*message)
        cancels = task.cancelling()
        self.waiting.add(task)
        try:
            return await self._call(*message)
        except asyncio.CancelledError:
            if task in self.waiting or task.cancelling() > cancels + 1:  # another's cancellation
                raise
        finally:
            if task in self.waiting:
                self.waiting.remove(task)
            else:
                task.uncancel()
        return None

    def end(self) -> bool:
        """End the waiting, and return True if the application did wait."""
        self.over = True
        ended, self.waiting = self.waiting, set()
        for task in ended:
            task.cancel()
        return bool(ended)


class _Link:
    """The two directions of a WebSocket, and its state."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._incoming = _Calls(receive)
        self._send = send
        self._outgoing = _Calls(send)
        self._over = False
        self._patient_until = 0.0
        self._disconnected = False
        self._connected = False
        self._accepted = False
        self._closed = False

    async def watch(self, lease: Lease) -> None:
        await lease.ended()
        self._end()
        if not self._closed:
            with contextlib.suppress(Exception):  # a client that has left receives nothing
                await self._notify_client()

    def _end(self) -> None:
        self._over = True
        self._incoming.end()
        loop = asyncio.get_running_loop()
        self._patient_until = loop.time() + _PATIENCE
        if self._outgoing.waiting:  # or a client that reads nothing would keep the application in its send
            loop.call_later(_SLOW_CLIENT, self._outgoing.end)

    async def _notify_client(self) -> None:
        if self._accepted:
            await self._send({"type": "websocket.close", "code": TOKEN_EXPIRED, "reason": "token_expired"})
        else:
            refusal = refusal_for(self._scope, TokenError("token_expired", "the token has expired"))
            await deny_websocket(self._scope, self._send, refusal)

    async def receive(self) -> Message:
        # An application that overlooks the disconnect would ask forever, and never let go of the event loop.
        if self._disconnected:
            raise WebSocketOver(_OVER)
        message: Message | None = await self._incoming()
        if message is not None:
            self._connected = True
            return message
        self._disconnected = True
        return {"type": "websocket.disconnect", "code": TOKEN_EXPIRED, "reason": "token_expired"}

    async def refuse(self, error: TokenError | AccessDenied) -> bool:
        """Close the WebSocket, or deny its handshake, for this error; False if it is closed already."""
        if self._over or self._closed:
            return False
        self._end()
        refusal = refusal_for(self._scope, error)
        if self._accepted:
            await self._send({"type": "websocket.close", "code": refusal.close_code, "reason": refusal.code})
        elif self._connected:
            await deny_websocket(self._scope, self._send, refusal)
        else:
            await send_refusal(self._scope, self._receive, self._send, refusal)
        return True

    async def send(self, message: Message) -> None:
        if self._over:
            # An application that never receives would send forever, and hold up the end of the server.
            late = asyncio.get_running_loop().time() > self._patient_until
            if late and message["type"] == "websocket.send":
                raise WebSocketOver(_OVER)
            await asyncio.sleep(0)  # for the others, beside a loop that does nothing but send
            return
        if message["type"] == "websocket.accept":
            self._accepted = True
        elif message["type"] in {"websocket.close", "websocket.http.response.start"}:
            self._closed = True
        await self._outgoing(message)
        if self._outgoing.over:
            raise WebSocketOver(_OVER)


class LeasedAnswer:
    """The response to one request; an event stream is aborted when the lease ends.

    The application runs inside the ``with`` block and responds through ``send``. Raises StreamExpired to the
    server. A block, since a coroutine around the application would be a tenth of the cost of a request.

    A framework turns a refusal that the application raises into a response with status 500. It is replaced by
    the right one here.
    """

    __slots__ = (
        "_begun", "_cancels", "_challenge", "_expired", "_in_thread", "_incoming", "_lease", "_left",
        "_receive", "_replaced", "_scope", "_send", "_streams", "_task", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        challenge: Challenge,
        *,
        lease: Lease | None = None,
        streams: LifetimeScope | None = None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._incoming: _Calls | None = None
        self._send = send
        self._challenge = challenge
        self._lease = lease
        self._streams = streams
        # The application may send from a task of its own: this is the one to cancel.
        self._task: asyncio.Task[object] | None = asyncio.current_task() if lease is not None else None
        self._watch: asyncio.Task[None] | None = None
        self._expired = False
        self._in_thread = False
        self._left = False
        self._cancels = 0
        self._begun = False
        self._replaced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._watch is None:
            return
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        cancelled = cancelled and not self._cancelled_elsewhere()
        self._watch.cancel()
        if self._expired:
            if self._task is not None and self._cancels:
                self._task.uncancel()
            if cancelled or (kind is None and not self._left):
                raise StreamExpired(_EXPIRED) from None

    def receive(self) -> Awaitable[Message]:
        """Return the next message of the server, or a disconnect once the stream has expired."""
        return self._receive() if self._task is None else self._receive_until_then()

    async def _receive_until_then(self) -> Message:
        # Not after the body alone: a client that never ends its body would leave the stream behind.
        if self._incoming is None:
            self._incoming = _Calls(self._receive)
        message: Message | None = None if self._expired else await self._incoming()
        if message is None:
            await asyncio.sleep(0)  # or a loop that overlooks the disconnect could not be cancelled
            return {"type": "http.disconnect"}
        if message["type"] == "http.disconnect":  # the work that follows is not part of the stream
            self._left = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message to the server; the first message of a stream starts the watch."""
        # Not a coroutine: most responses are not streams, and it would be half of their cost.
        if self._watch is None:
            if message["type"] == "http.response.start":
                if message["status"] == 500 and (denial := self._denial()) is not None:
                    self._replaced = True
                    return send_refusal(self._scope, _nothing, self._send, self._refusal(denial))
                self._begun = True
                if self._lease is not None and _is_event_stream(message):
                    self._begin_watch(self._lease)
            elif self._replaced:
                return _nothing()
            elif self._streams == "all" and self._lease is not None and message.get("more_body"):
                self._begin_watch(self._lease)
        elif self._expired:  # an application that outlived its cancellation must not finish the response
            if self._in_thread:
                return asyncio.sleep(0)  # for the others, beside a loop that does nothing but send
            raise StreamExpired(_EXPIRED)
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            return self._send_last(message, self._watch)
        return self._send(message)

    async def refuse(self, error: TokenError | AccessDenied) -> None:
        """Answer with what the application raised. Raises it again if the response has begun."""
        if self._begun:  # the server must know that the response is broken
            raise error
        if not self._replaced:
            await send_refusal(self._scope, self._receive, self._send, self._refusal(error))

    def _refusal(self, error: TokenError | AccessDenied) -> Refusal:
        return self._challenge.refuse(error, dpop=uses_dpop(self._scope))

    def _denial(self) -> TokenError | AccessDenied | None:
        """Return the refusal behind a 500: in flight here, or raised by a guard of this request."""
        error = sys.exc_info()[1]
        if not isinstance(error, TokenError | AccessDenied):
            error = self._scope.get(DENIED)
        return error if isinstance(error, TokenError | AccessDenied) else None

    async def _send_last(self, message: Message, watch: asyncio.Task[None]) -> None:
        await self._send(message)
        watch.cancel()  # work after the response, such as background tasks, is not part of the stream

    def _cancelled_elsewhere(self) -> bool:
        return self._task is not None and self._task.cancelling() > self._cancels

    def _begin_watch(self, lease: Lease) -> None:
        self._in_thread = _sends_for_a_thread()
        self._watch = asyncio.create_task(self._abort(lease))

    async def _abort(self, lease: Lease) -> None:
        await lease.ended()
        self._expired = True
        listens = self._incoming is not None and self._incoming.end()
        # It ends by itself, but what it sends counts no more: Hypercorn reports a client that has only closed
        # its own direction, too, and would go on sending to it.
        if self._in_thread or self._left:
            return
        if listens:
            # Quart and Django wait for the disconnect, and then end the stream, which runs in another task. A
            # cancellation would leave that task behind.
            await asyncio.sleep(_PATIENCE)
        if self._task is not None:
            self._cancels = 1
            self._task.cancel()


async def _nothing() -> Any:
    """Do nothing, in place of a message to the server or from it."""


def _sends_for_a_thread() -> bool:
    """True in the task that sends for a WSGI application of a2wsgi.

    Cancelled or refused, it would take no more from the thread, which would then wait for it forever: ten
    such streams would use up the threads of the application.
    """
    task = asyncio.current_task()
    return task is not None and getattr(task.get_coro(), "__qualname__", "") == "WSGIResponder.sender"


def _is_event_stream(start: Message) -> bool:
    headers = start.get("headers") or ()
    if not isinstance(headers, (list, tuple)):  # an iterator, which the server could read no more
        headers = start["headers"] = list(headers)
    for name, value in headers:
        if len(name) == 12 and name.lower() == b"content-type":
            return bool(value.lower().startswith(b"text/event-stream"))
    return False
