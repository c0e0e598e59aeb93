"""Requests over real sockets: one server process per application, and connections that never pause.

Where the load has a processor of its own it polls and does not sleep: waking it can cost the server a third
of what is measured, and the more the slower the server is, so that a small difference would look large.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APPS = Path(__file__).with_name("apps.py")
CONNECTIONS = 32


class Server:
    """An application under uvicorn with uvloop and httptools."""

    def __init__(self, name: str, secret: str) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
            self.port: int = listening.getsockname()[1]
            fd = listening.fileno()
            command = [sys.executable, "-W", "ignore", "-m", "beside.apps", name, str(fd)]
            self._process = subprocess.Popen(
                command, cwd=APPS.parent.parent, pass_fds=[fd], stdin=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        self._process.stdin.write(secret + "\n")
        self._process.stdin.close()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def cpu(self) -> float | None:
        """Return the processor time used so far in seconds, if the system measures it that finely."""
        try:
            return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9
        except (OSError, ValueError):
            return None


@contextmanager
def servers(names: list[str], secret: str) -> Iterator[dict[str, Server]]:
    running = {name: Server(name, secret) for name in names}
    try:
        yield running
    finally:
        for server in running.values():
            server.stop()


def requests(tokens: list[str]) -> list[bytes]:
    return [
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: */*\r\n"
        b"authorization: Bearer " + token.encode() + b"\r\n\r\n"
        for token in tokens
    ]


def answer_length(port: int, request: bytes) -> int:
    """Return the length of a response with headers; an application's responses have one length."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(65536)
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)
        return len(head) + 4 + length


class _Caller(asyncio.Protocol):
    """One connection: the next request goes out when the last answer is in."""

    def __init__(self, wanted: Iterator[bytes], length: int, ends: float) -> None:
        self._wanted, self._length, self._ends = wanted, length, ends
        self._got = 0
        self.done = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._write = transport.write
        self._close = transport.close
        self._write(next(self._wanted))

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got < self._length:
            return
        assert self._got == self._length, "an answer of another length"
        self._got = 0
        self.done += 1
        if time.perf_counter() < self._ends:
            self._write(next(self._wanted))
        else:
            self._close()
            self.over.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(exc or ConnectionError("the server hung up"))


def _stay_awake(loop: asyncio.AbstractEventLoop, over: asyncio.Future[list[None]]) -> None:
    """Make the loop poll instead of sleep until the block ends."""
    if not over.done():
        loop.call_soon(_stay_awake, loop, over)


async def volley(
    server: Server, wanted: list[bytes], length: int, seconds: float, *, awake: bool
) -> tuple[float, float]:
    """Return requests per second, and microseconds of the server's processor per request (0: unknown).

    ``awake`` where the load has a processor of its own.
    """
    loop = asyncio.get_running_loop()
    feed = itertools.cycle(wanted)
    before, start = server.cpu(), time.perf_counter()
    made = await asyncio.gather(
        *(
            loop.create_connection(lambda: _Caller(feed, length, start + seconds), "127.0.0.1", server.port)
            for _ in range(CONNECTIONS)
        )
    )
    callers = [caller for _, caller in made]
    over = asyncio.gather(*(caller.over for caller in callers))
    if awake:
        _stay_awake(loop, over)
    await over
    passed, after = time.perf_counter() - start, server.cpu()
    done = sum(caller.done for caller in callers)
    cpu = (after - before) / done * 1e6 if before is not None and after is not None else 0.0
    return done / passed, cpu


def keep_apart(*, serving: bool) -> bool:
    """Keep the load to the last processor and the servers to the others; False where there is only one."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    everywhere = os.sched_getaffinity(0)
    last = {max(everywhere)}
    if len(everywhere) == 1:
        return False
    os.sched_setaffinity(0, everywhere - last if serving else last)
    return True
