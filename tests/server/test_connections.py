"""Connections over real sockets: no head is endless, none is waited for, and the good ones notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
import uvloop

from authkit_issuer.http.request_body import WHOLE
from authkit_issuer.server import connections
from authkit_issuer.server.connection_limit import Places
from authkit_issuer.server.connections import MAX_BODY, MAX_HEAD, MAX_LINGER, MAX_PIPELINED, BoundedHttp
from fakes.patience import PATIENCE

GOOD = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def answer(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while scope["path"] != "/early":
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    told = b"%d" % len(body) if scope["path"] != "/headers" else repr(scope["headers"]).encode()
    told = b"x" * 300_000 if scope["path"] == "/long" else told
    told = str(scope[WHOLE]).encode() if scope["path"] == "/whole" else told
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]}
    )
    await send({"type": "http.response.body", "body": told})


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the deadlines alone: on a busy machine a good client is slow, too."""
    monkeypatch.setattr(connections, "HEAD_DEADLINE", 0.2)
    monkeypatch.setattr(connections, "BODY_DEADLINE", 0.4)
    monkeypatch.setattr(connections, "WRITE_DEADLINE", 0.3)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serving() as found:
        yield found


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """Run a server, and yield its port."""
    places = Places(most=3)
    protocol: Any = functools.partial(BoundedHttp, places=places)
    config = uvicorn.Config(
        answer, port=0, http=protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        timeout_keep_alive=3600,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def talk(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send the pieces and return everything that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
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


async def test_a_client_that_has_nothing_more_to_say_gets_its_answer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + GOOD)
    writer.write_eof()
    assert (await asyncio.wait_for(reader.read(), PATIENCE)).count(b"HTTP/1.1 200 OK") == 2
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST % (b"/", 10) + b"12345")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


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


@pytest.mark.usefixtures("short_deadlines")
@pytest.mark.parametrize("start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_head_that_does_not_come_is_not_waited_for(port: int, start: bytes) -> None:
    assert await talk(port, start) == b""


@pytest.mark.usefixtures("short_deadlines")
async def test_a_head_that_trickles_in_is_not_waited_for_either(port: int) -> None:
    assert await talk(port, b"GET / HTTP/1.1\r\n", *[b"a: b\r\n"] * 10, pause=0.05) == b""


@pytest.mark.usefixtures("short_deadlines")
async def test_a_long_answer_is_not_cut_by_the_clock_of_the_next_head(port: int) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    assert (await talk(port, slow + b"GET / HTTP/1.1\r\n")).startswith(b"HTTP/1.1 200 OK")


def test_requests_of_a_client_that_is_gone_end_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n"

    async def abandoned() -> None:
        async with serving() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(slow + b"\r\n" + GOOD)
            await writer.drain()
            await asyncio.sleep(0.1)
            resets = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, resets)
            writer.transport.abort()
            assert (await talk(port, slow + CLOSE + b"\r\n")).startswith(b"HTTP/1.1 200")

    uvloop.run(abandoned())  # the loop of `authkit serve`, which refuses a write to what is closed
    assert "Exception" not in caplog.text


POST = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


@pytest.mark.usefixtures("short_deadlines")
async def test_a_body_that_does_not_come_is_not_waited_for(port: int) -> None:
    assert await talk(port, POST % (b"/", 10), *[b"x"] * 8, pause=0.1) == b""


@pytest.mark.parametrize("framing", [b"content-length: 10000000000", b"transfer-encoding: chunked"])
async def test_an_early_answer_ends_the_connection_of_a_request_without_end(
    port: int, framing: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /early HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
    said = await asyncio.wait_for(reader.read(), PATIENCE)
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in said
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while sent < 100 * MAX_LINGER:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
                await asyncio.sleep(0.01)
    assert sent < 100 * MAX_LINGER
    writer.close()


async def test_a_chunk_whose_extension_has_no_end_is_cut_off(port: int) -> None:
    # It has no content, which is all that a reader of the body counts.
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;")
    sent = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while sent < 100 * MAX_BODY:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
    assert sent < 20 * MAX_BODY  # most of it is on its way
    writer.close()


async def test_a_body_in_the_smallest_chunks_is_read(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"transfer-encoding: chunked\r\n\r\n"
    assert (await talk(port, head + b"1\r\na\r\n" * 65_536 + b"0\r\n\r\n")).endswith(b"65536")


async def test_a_trailer_is_no_header(port: int) -> None:
    # Proxies pass trailers on: this one would be the last word on the address of the client.
    head = b"POST /headers HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.1\r\n" + CLOSE
    trailer = b"x-forwarded-for: 203.0.113.7\r\ncookie: a=b\r\n"
    said = await talk(port, head + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailer + b"\r\n")
    assert b"192.0.2.1" in said
    assert b"203.0.113.7" not in said
    assert b"cookie" not in said


@pytest.mark.parametrize(
    "asks",
    [
        b"POST / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: h2c",
        b"POST / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket",
        b"CONNECT / HTTP/1.1",
    ],
)
@pytest.mark.parametrize("length", [b"content-length: 33", b"transfer-encoding: chunked"])
async def test_the_body_of_a_request_for_another_protocol_is_no_request(
    port: int, asks: bytes, length: bytes
) -> None:
    # The answer to a request that only the server sees would be the next client's, behind a proxy.
    body = b"GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
    assert len(body) == 33
    head = asks + b"\r\nhost: x\r\n" + length + b"\r\n\r\n"
    for pieces in ((head, body), (head + body,), (head + b" ", body)):
        said = await talk(port, *pieces, pause=0.05)
        assert said.count(b"HTTP/1.1 ") <= 1
        assert b"200 OK" not in said


@pytest.mark.parametrize("more", [(), (GOOD,), (GOOD[:9], GOOD[9:])])
async def test_a_request_for_another_protocol_is_answered_and_the_last_one(
    port: int, more: tuple[bytes, ...]
) -> None:
    upgrade = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n\r\n"
    asks = b"GET /slow HTTP/1.1\r\nhost: x\r\n" + upgrade
    for pieces in ((asks, *more), (asks + b"".join(more),)):
        said = await talk(port, *pieces, pause=0.05)
        assert said.startswith(b"HTTP/1.1 200 OK")
        assert said.count(b"HTTP/1.1 ") == said.count(b"connection: close") == 1


@pytest.mark.parametrize("before", [(), (GOOD,)])
async def test_a_target_that_is_none_is_refused_and_nothing_fails(
    port: int, caplog: pytest.LogCaptureFixture, before: tuple[bytes, ...]
) -> None:
    said = await talk(port, *before, b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n", pause=0.2)
    assert b"HTTP/1.1 400 " in said
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_trailer_without_end_is_cut_off(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    assert (await talk(port, head + b"a: b\r\n" * 2000)).startswith(b"HTTP/1.1 400")


async def test_few_requests_wait_behind_the_one_that_runs(port: int) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    said = await talk(port, slow + GOOD * (MAX_PIPELINED + 100))
    # Those that came before are answered in their order, and the end of the connection says that no more are.
    assert said.count(b"HTTP/1.1 200 OK") == 1 + MAX_PIPELINED
    assert said.count(b"connection: close") == 1
    assert b"400" not in said


async def test_what_no_parser_takes_does_not_stand_for_the_answer_to_the_request_before(port: int) -> None:
    said = await talk(port, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + b"nonsense\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in said
    # The answer to the malformed request itself is a 400, with another before it none.
    broken = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
    assert (await talk(port, broken)).startswith(b"HTTP/1.1 400")
    assert b"400" not in await talk(port, b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" + broken)


@pytest.mark.usefixtures("short_deadlines")
async def test_a_client_that_reads_nothing_does_not_keep_its_place(port: int) -> None:
    once = GOOD.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n" * MAX_PIPELINED)
        async with asyncio.timeout(60):
            while True:  # until there are three places again
                three = await asyncio.gather(*(talk(port, b"", once, pause=0.1) for _ in range(3)))
                if all(said.startswith(b"HTTP/1.1 200") for said in three):
                    break


@pytest.mark.usefixtures("short_deadlines")
async def test_the_rest_of_a_request_answered_early_is_not_waited_for(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST % (b"/early", 1000))
    # Half of the connection closes with the answer; an idle one would stay open for an hour.
    assert (await asyncio.wait_for(reader.read(), PATIENCE)).startswith(b"HTTP/1.1 200 OK")
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
    writer.close()


@pytest.mark.parametrize(
    "framing", [b"content-length: 3\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
async def test_an_application_knows_whether_the_body_is_there(port: int, framing: bytes) -> None:
    request = b"POST /whole HTTP/1.1\r\nhost: x\r\n%s" + framing
    first, last = request % b"", request % CLOSE
    assert (await talk(port, last)).endswith(b"True")
    assert (await talk(port, last[:-2], last[-2:], pause=0.1)).endswith(b"False")
    # A part of the second one is there when the first one is answered, and the second one is whole by then.
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    both = await talk(port, slow + first + last[:-2], last[-2:], pause=0.1)
    assert both.count(b"True") == 2


async def test_a_request_whose_body_is_there_keeps_its_connection(port: int) -> None:
    whole = POST % (b"/early", 5) + b"12345"
    both = await talk(port, whole, whole.replace(b"host: x", b"host: x\r\nconnection: close"), pause=0.1)
    assert both.count(b"HTTP/1.1 200 OK") == 2


async def test_a_connection_beyond_the_bound_of_the_process_is_refused_until_one_ends(port: int) -> None:
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    last = GOOD.replace(b"\r\n\r\n", b"\r\n" + CLOSE + b"\r\n")
    assert (await talk(port, last)).startswith(b"HTTP/1.1 503 Service Unavailable")
    for _, writer in held:
        writer.close()
    async with asyncio.timeout(PATIENCE):
        while not (said := await talk(port, last)).startswith(b"HTTP/1.1 200"):
            assert said.startswith(b"HTTP/1.1 503"), said


def test_the_networks_of_one_subscriber_have_a_bound_together() -> None:
    places = Places(most=100, per_network=2, per_site=5)
    peers = [f"2001:db8:0:{n}::1" for n in range(6)]
    assert [places.take(peer) for peer in peers] == [True] * 5 + [False]
    assert places.take("2001:db8:1::1")
    for peer in peers[:5]:
        places.give_back(peer)
    assert places.take(peers[5])


def test_a_network_has_a_bound_and_a_trusted_proxy_only_that_of_the_process() -> None:
    places = Places(["10.0.0.0/8"], most=6, per_network=2)
    assert [places.take("203.0.113.7") for _ in range(3)] == [True, True, False]
    assert [places.take(f"2001:db8::{n}") for n in range(1, 4)] == [True, True, False]
    places.give_back("203.0.113.7")
    assert [places.take(peer) for peer in ("203.0.113.7", "10.0.0.1", None, "10.0.0.1")] == [
        True, True, True, False
    ]  # fmt: skip
    places.give_back(None)
    assert places.take("::1")
