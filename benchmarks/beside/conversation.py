"""Connections that ask a server, read each answer whole, and ask again, perhaps with what the answer said."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any, Protocol

from beside.processes import Process

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Asking(Protocol):
    """What one connection asks, again and again."""

    def request(self) -> bytes:
        """Return the next request."""

    def answered(self, body: bytes) -> None:
        """Take the answer."""


class Same:
    """Asks the same each time."""

    def __init__(self, request: bytes) -> None:
        self._request = request

    def request(self) -> bytes:
        return self._request

    def answered(self, body: bytes) -> None:
        """Ignore the answer."""


class Refreshing:
    """Presents the refresh token of the last answer."""

    def __init__(self, token: str, ask: Callable[[str], bytes], read: Callable[[Any], str]) -> None:
        self._token, self._ask, self._read = token, ask, read

    def request(self) -> bytes:
        return self._ask(self._token)

    def answered(self, body: bytes) -> None:
        self._token = self._read(json.loads(body))


def http(
    method: str, path: str, number: int, headers: dict[str, str] | None = None, body: Any = None
) -> bytes:
    """Return a request of connection ``number``, each of which has an address of its own behind a proxy.

    ``body`` is sent as JSON, a text as a form.
    """
    lines = {
        "host": "127.0.0.1", "user-agent": "bench", "accept": "*/*",
        "x-forwarded-for": f"198.18.{number // 250}.{number % 250 + 1}", **(headers or {}),
    }  # fmt: skip
    sent = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    if body is not None:
        kind = "x-www-form-urlencoded" if isinstance(body, str) else "json"
        lines |= {"content-type": f"application/{kind}", "content-length": str(len(sent))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + sent


def whole(data: bytes) -> tuple[bytes, bytes] | None:
    """Return the head and the body of an answer, None until all of it is there.

    Raises:
        ConnectionError: the answer is a refusal or a redirection.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return None
    if _CHUNKED.search(head):
        done = body.endswith(b"0\r\n\r\n")
        body = _joined(body) if done else b""
    else:
        length = _LENGTH.search(head)
        done = len(body) == (int(length[1]) if length else 0)
    if not done:
        return None
    if not head.startswith(b"HTTP/1.1 2"):
        status = head.partition(b"\r\n")[0].decode()
        raise ConnectionError(f"{status}: {body[:300].decode(errors='replace')}")
    return head, body


def _joined(chunks: bytes) -> bytes:
    found = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        found += rest[: int(size, 16)]
        chunks = rest[int(size, 16) + 2 :]
    return found


class _Caller(asyncio.Protocol):
    """One connection: the next request goes out when the last answer is in."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._got = b""
        self._ends = 0.0
        self.done = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def begin(self, ends: float) -> None:
        self._ends = ends
        self._transport.write(self._asking.request())

    def data_received(self, data: bytes) -> None:
        self._got += data
        try:
            answer = whole(self._got)
        except ConnectionError as error:
            self._finish(error)
            return
        if answer is None:
            return
        self._got = b""
        self._asking.answered(answer[1])
        self.done += 1
        if time.perf_counter() < self._ends:
            self._transport.write(self._asking.request())
        else:
            self._finish(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(exc or ConnectionError("the server closed the connection"))

    def _finish(self, error: Exception | None) -> None:
        if not self.over.done():
            if error is None:
                self.over.set_result(None)
            else:
                self.over.set_exception(error)
        self._transport.close()


async def volley(server: Process, asking: list[Asking], seconds: float) -> tuple[float, float]:
    """Return requests per second, and microseconds of the server's processors per request (0: unknown)."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda one=one: _Caller(one), "127.0.0.1", server.port)  # type: ignore[misc]
        for one in asking
    ]
    callers = [caller for _, caller in made]
    before, start = server.cpu(), time.perf_counter()
    for caller in callers:
        caller.begin(start + seconds)
    await asyncio.gather(*(caller.over for caller in callers))
    passed, after = time.perf_counter() - start, server.cpu()
    done = sum(caller.done for caller in callers)
    cpu = (after - before) / done * 1e6 if before is not None and after is not None else 0.0
    return done / passed, cpu


async def ask(port: int, request: bytes) -> tuple[bytes, Any]:
    """Return the head and the JSON of one answer, for what comes before the measurement."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await ask_on(reader, writer, request)
    finally:
        writer.close()


async def ask_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[bytes, Any]:
    """Return the head and the JSON of an answer on a connection that stays open.

    Raises:
        ConnectionError: The answer is a refusal, or the server closed the connection.
    """
    writer.write(request)
    data = b""
    while (answer := whole(data)) is None:
        more = await reader.read(65536)
        if not more:
            raise ConnectionError("the server closed the connection")
        data += more
    head, body = answer
    return head, json.loads(body) if body else None
