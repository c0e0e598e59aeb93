from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from authkit_verify import AuthMiddleware
from authkit_verify._asgi.connection_lifetime import StreamExpired
from fakes.clock import MOMENT

pytestmark = pytest.mark.virtual_time

Connect = Callable[..., Any]


class WSGIResponder:
    """Responds as a2wsgi does: a task sends what a thread hands over, and the thread waits for that task."""

    def __init__(self, scope: Any, send: Any) -> None:
        self.send = send
        self.queue: asyncio.Queue[Any] = asyncio.Queue(1)
        scope["thread"] = self.thread = asyncio.ensure_future(self.run(scope))
        self.sending = asyncio.ensure_future(self.sender())

    async def run(self, scope: Any) -> None:
        async def hand_over(message: Any) -> None:
            await self.queue.put(message)
            await asyncio.sleep(MOMENT)

        await hand_over({"type": "http.response.start", "status": 200, "headers": scope["with"]})
        for _ in range(5):
            await hand_over({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await hand_over({"type": "http.response.body", "body": b"", "more_body": False})

    async def sender(self) -> None:
        while (message := await self.queue.get()) is not None:
            await self.send(message)

    async def respond(self) -> None:
        try:
            await asyncio.shield(self.thread)
            await self.queue.put(None)
            await self.sending
        finally:
            self.sending.cancel()


async def test_the_end_of_a_stream_keeps_no_thread_of_a_wsgi_application(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def bridge(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await WSGIResponder(scope, send).respond()

    headers = [(b"content-type", b"text/event-stream")]
    answer = connect(AuthMiddleware(bridge, issuer.verifier(skew=0.0)), token=token, **{"with": headers})
    with pytest.raises(StreamExpired):
        await answer.run()
    await asyncio.sleep(10 * MOMENT)
    assert answer.scope["thread"].done()
    assert len(answer.sent) < 4
    assert answer.sent[-1].get("more_body", True)


async def test_another_stream_ends_with_its_token_while_a_wsgi_application_responds(
    short: Any, connect: Connect
) -> None:
    issuer, token = short

    async def unread(_message: Any) -> None:
        pass

    beside = WSGIResponder({"with": []}, unread)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": scope["with"]})
        while True:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.sleep(MOMENT)

    headers = [(b"content-type", b"text/event-stream")]
    answer = connect(AuthMiddleware(app, issuer.verifier(skew=0.0)), token=token, **{"with": headers})
    with pytest.raises(StreamExpired):
        await answer.run()
    await beside.thread
    beside.sending.cancel()
