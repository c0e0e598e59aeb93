"""What the load generator takes for an answer, over real sockets."""

from __future__ import annotations

import asyncio
import json

import pytest
from beside.conversation import Refreshing, Same, ask, http, volley, whole

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2,\r\n2\r\n3]\r\n0\r\n\r\n"
COUNTED = HEAD + b"Content-Length: 7\r\n\r\n[1,2,3]"


class Server:
    """Answers each request with the number of its connection's token plus one, in pieces."""

    def __init__(self) -> None:
        self.presented: list[list[str]] = []

    def cpu(self) -> float:
        return sum(map(len, self.presented)) * 0.001

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        presented: list[str] = []
        self.presented.append(presented)
        while head := await reader.read(4096):
            presented.append(json.loads(head.partition(b"\r\n\r\n")[2])["token"])
            body = json.dumps({"next": str(int(presented[-1]) + 1)}).encode()
            writer.write(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body[:3])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(body[3:])
        writer.close()


@pytest.mark.parametrize("answer", [CHUNKED, COUNTED])
def test_an_answer_is_read_once_it_is_whole(answer: bytes) -> None:
    assert [whole(answer[:end]) for end in range(len(answer))] == [None] * len(answer)
    found = whole(answer)
    assert found is not None
    assert json.loads(found[1]) == [1, 2, 3]


def test_an_answer_without_a_body_is_whole() -> None:
    assert whole(b"HTTP/1.1 204 No Content\r\n\r\n") == (b"HTTP/1.1 204 No Content", b"")


@pytest.mark.parametrize("status", ["429 Too Many Requests", "302 Found", "500 Oops"])
def test_a_refusal_is_never_counted_as_an_answer(status: str) -> None:
    with pytest.raises(ConnectionError, match=status):
        whole(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno".encode())


def test_each_connection_has_an_address_of_its_own() -> None:
    requests = {http("GET", "/", number) for number in range(600)}
    assert len(requests) == 600


@pytest.mark.network
async def test_each_connection_presents_what_its_last_answer_said() -> None:
    server = Server()
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    asking = [
        Refreshing(
            str(first), lambda token: http("POST", "/", 0, body={"token": token}), lambda said: said["next"]
        )
        for first in (100, 200)
    ]
    async with listening:
        rate, cpu = await volley(server, asking, 0.1)
        for presented in server.presented:
            first = int(presented[0])
            assert presented == [str(first + n) for n in range(len(presented))]
            assert len(presented) > 1
        assert rate > 0
        assert cpu == pytest.approx(1000)
        # The next volley goes on where this one ended.
        await volley(server, asking[:1], 0.0)
        assert server.presented[-1] == [str(int(server.presented[0][-1]) + 1)]


@pytest.mark.network
async def test_a_refusal_ends_the_volley() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    server = Server()
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        with pytest.raises(ConnectionError, match="503 Busy"):
            await volley(server, [Same(http("GET", "/", 0))], 0.1)
        with pytest.raises(ConnectionError, match="503 Busy"):
            await ask(server.port, http("GET", "/", 0))
