"""Connections over real sockets: no head is endless, none is waited for, and the good ones notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from authkit_issuer.server import connections
from authkit_issuer.server.connections import MAX_HEAD, BoundedHttp

GOOD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    told = b"%d" % len(body)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]}
    )
    await send({"type": "http.response.body", "body": told})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(connections, "HEAD_DEADLINE", 0.2)
    config = uvicorn.Config(
        answer, port=0, http=BoundedHttp, ws="none", lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(5):
        while not server.started:
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def talk(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send the pieces and return everything that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


CLOSE = b"connection: close\r\n"


async def test_ordinary_requests_are_answered_however_they_are_cut(port: int) -> None:
    whole = b"POST / HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"content-length: 60000\r\n\r\n" + b"x" * 60_000
    assert (await talk(port, whole)).endswith(b"60000")
    assert (await talk(port, whole[:20], whole[20:50], whole[50:], pause=0.01)).endswith(b"60000")
    # Two on one connection, the second one while the first is being answered.
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    both = await talk(port, slow, b"GET / HTTP/1.1\r\nho", b"st: x\r\n" + CLOSE + b"\r\n", pause=0.1)
    assert both.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "head",
    [b"x: " + b"a" * (3 * MAX_HEAD), b"GET /" + b"a" * (3 * MAX_HEAD), b"a: b\r\n" * MAX_HEAD],
    ids=["one long field", "a long address", "many short fields"],
)
async def test_a_head_without_end_is_cut_off(port: int, head: bytes) -> None:
    start = b"" if head.startswith(b"GET") else b"GET / HTTP/1.1\r\nhost: x\r\n"
    said = await talk(port, start + head)
    assert said.split(b"\r\n")[0] in {
        b"", b"HTTP/1.1 431 Request Header Fields Too Large", b"HTTP/1.1 400 Bad Request",
    }  # fmt: skip
    assert (await talk(port, GOOD.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n"))).startswith(
        b"HTTP/1.1 200"
    )


@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(port: int, start: bytes) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert await talk(port, start) == b""
    assert loop.time() - begun < 2


async def test_a_head_that_trickles_in_is_not_waited_for_either(port: int) -> None:
    assert await talk(port, b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 10, pause=0.05) == b""


async def test_a_long_answer_is_not_cut_by_the_clock_of_the_next_head(port: int) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    assert (await talk(port, slow + b"GET / HTTP/1.1\r\n")).startswith(b"HTTP/1.1 200 OK")
