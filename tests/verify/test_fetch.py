from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import httpx
import pytest

from authkit_verify import IssuerAccept
from authkit_verify._jwks.client import Clients
from authkit_verify._jwks.fetch import MAX_BYTES, fetch
from authkit_verify._jwks.fetch_error import FetchError

URL = "https://i.test/jwks.json"
ACCEPT = IssuerAccept(issuer="https://i.test", any_audience=True)


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer), follow_redirects=True)


async def test_the_document_is_asked_for_plainly_and_conditionally() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return (
            httpx.Response(304) if "if-none-match" in request.headers else httpx.Response(200, content=b"{}")
        )

    async with client(answer) as http:
        assert (await fetch(http, URL)).body == b"{}"
        assert (await fetch(http, URL, etag='"e"', bypass_caches=True)).body is None
    assert seen[0].headers["accept-encoding"] == "identity"
    assert "cache-control" not in seen[0].headers
    assert seen[1].headers["if-none-match"] == '"e"'
    assert seen[1].headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(302, headers={"location": "https://i.test/elsewhere"}),
        httpx.Response(500),
        httpx.Response(404),
        httpx.Response(204),
        httpx.Response(304),
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"bomb")),
    ],
)
async def test_every_other_answer_is_refused_and_no_redirect_followed(response: httpx.Response) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return response

    async with client(answer) as http:
        with pytest.raises(FetchError):
            await fetch(http, URL)
    assert asked == [URL]


async def test_a_huge_document_is_dropped_while_it_arrives() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65536
            yield b" " * 65536

    async with client(lambda _: httpx.Response(200, content=endless())) as http:
        with pytest.raises(FetchError, match="larger"):
            await fetch(http, URL)
    assert read <= MAX_BYTES + 2 * 65536


async def test_a_hosts_own_client_is_used_and_left_open() -> None:
    async with client(lambda _: httpx.Response(200)) as own:
        async with Clients(own).of(ACCEPT)() as used:
            assert used is own
        assert not own.is_closed


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_proxy_of_the_environment_is_not_asked_for_a_loopback_issuer(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Clients(None).of(ACCEPT)() as http:
            assert (await fetch(http, f"http://{host}:{port}/jwks.json")).body == b"{}"


async def test_the_timeout_is_plain_numbers_which_any_client_understands() -> None:
    seen: list[object] = []

    class Client:
        def stream(self, *_: object, timeout: object, **__: object) -> NoReturn:
            seen.append(timeout)
            raise OSError

    with pytest.raises(FetchError):
        await fetch(Client(), URL)
    assert seen == [(2.0, 5.0, 5.0, 5.0)] * 2


@pytest.mark.parametrize(
    "death",
    [RuntimeError("Event loop is closed"), httpx.RemoteProtocolError("Server disconnected"), OSError()],
)
async def test_a_pooled_connection_that_died_costs_a_second_try_and_no_failure(death: Exception) -> None:
    deaths = [death]

    def answer(_: httpx.Request) -> httpx.Response:
        if deaths:
            raise deaths.pop()
        return httpx.Response(200, content=b"{}")

    async with client(answer) as http:
        assert (await fetch(http, URL)).body == b"{}"


async def test_a_response_and_a_known_cause_get_no_second_try() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            raise httpx.ReadTimeout("slow")
        if len(asked) == 2:
            raise httpx.ConnectError("no") from socket.gaierror()
        return httpx.Response(500)

    async with client(answer) as http:
        for code in ("timeout", "dns_failure", "bad_status"):
            with pytest.raises(FetchError) as caught:
                await fetch(http, f"{URL}?key=SECRET")
            assert caught.value.code == code
            assert str(caught.value).startswith(f"{URL}: ")
            assert "SECRET" not in str(caught.value)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 500])
async def test_the_time_that_an_issuer_asks_for_is_read(
    headers: dict[str, str], wait: float | None, status: int
) -> None:
    async with client(lambda _: httpx.Response(status, headers=headers)) as http:
        with pytest.raises(FetchError) as caught:
            await fetch(http, URL)
    assert caught.value.retry_after == (wait if status != 500 else None)
