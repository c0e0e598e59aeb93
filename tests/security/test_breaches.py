"""The breach check: five digits leave, an outage means what the host chose, and no answer is trusted."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from authkit_issuer import errors
from authkit_issuer.security.breaches import RangeBreachCheck

PASSWORD = "correct horse battery"
DIGEST = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()
OTHERS = "0018A45C4D1DEF81644B54AB7F969B88D65:3\r\n00D4F6E8FA6EECAD2A3AA415EEC418D38EC:0\r\n"


class RangeServer:
    """Answers every request with ``status``, ``headers`` and ``body``, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = "200 OK"
        self.body = OTHERS.encode()
        self.headers = ""
        self.open = asyncio.Event()
        self.open.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(request)
        await self.open.wait()
        head = f"HTTP/1.1 {self.status}\r\ncontent-length: {len(self.body)}\r\nconnection: close\r\n"
        writer.write(f"{head}{self.headers}\r\n".encode() + self.body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[RangeServer]:
    made = RangeServer()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    made.open.set()
    listening.close()
    await listening.wait_closed()


@pytest.fixture
async def check(server: RangeServer) -> AsyncIterator[Callable[..., RangeBreachCheck]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield lambda **options: RangeBreachCheck(client, base_url=server.url, **options)


async def test_a_known_password_is_breached_and_an_unknown_one_is_not(server, check) -> None:
    assert not await check().is_breached(PASSWORD)
    server.body = f"{OTHERS}{DIGEST[5:]}:42\r\n".encode()
    assert await check().is_breached(PASSWORD)
    assert not await check(minimum=43).is_breached(PASSWORD)
    assert not await check().is_breached(PASSWORD + "!")


async def test_only_five_digits_leave_and_padding_is_asked_for(server, check) -> None:
    await check().is_breached(PASSWORD)
    (request,) = server.asked
    assert request.startswith(f"GET /range/{DIGEST[:5]} ")
    assert "add-padding: true" in request.lower()
    assert DIGEST[5:12] not in request
    assert "horse" not in request


async def test_a_line_of_padding_is_no_breach(server, check) -> None:
    server.body = f"{DIGEST[5:]}:0\r\n".encode()
    assert not await check().is_breached(PASSWORD)


async def error_status(server: RangeServer) -> None:
    server.status = "500 Oops"


async def redirect(server: RangeServer) -> None:
    server.status, server.headers = "302 Found", f"location: {server.url}/elsewhere\r\n"


async def hang(server: RangeServer) -> None:
    server.open.clear()


async def flood(server: RangeServer) -> None:
    server.body = b"0" * (2 << 20)


async def garbage(server: RangeServer) -> None:
    server.status = "nonsense"


@pytest.mark.parametrize("outage", [error_status, redirect, hang, flood, garbage])
async def test_an_outage_fails_open_or_closed_as_configured_and_tells_no_digits(
    server: RangeServer, check, caplog, outage: Callable[[RangeServer], Awaitable[None]]
) -> None:
    await outage(server)
    with caplog.at_level(logging.DEBUG, logger="authkit"):
        assert not await check(timeout=0.1).is_breached(PASSWORD)
        with pytest.raises(errors.BreachCheckUnavailable) as refused:
            await check(timeout=0.1, fail_open=False).is_breached(PASSWORD)
    assert len([request for request in server.asked if "/elsewhere" in request]) == 0
    told = f"{[record.getMessage() for record in caplog.records]}{refused.value!r}{refused.value.__cause__}"
    assert told.count("breach check failed") == 2
    assert DIGEST[:5] not in told
    assert PASSWORD not in told
