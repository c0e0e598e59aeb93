"""A load balancer on a loopback port: each connection goes to the next process that said it was ready."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING

from fakes.patience import PATIENCE

if TYPE_CHECKING:
    from typing import Self

INTERVAL = 0.2
"""Seconds between two looks at each ``/readyz``."""
_ASK = b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"


class Balancer:
    """Repeats no request. With ``redispatch`` a connection that is refused goes to another process."""

    def __init__(self, *ports: int, redispatch: bool = False) -> None:
        self.port = 0
        self._ready = dict.fromkeys(ports, False)
        self._redispatch = redispatch
        self._turn = cycle(range(1 << 30))
        self._server: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._looking is not None
        self._looking.cancel()
        self._server.close()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def add(self, port: int) -> None:
        """Return once the process gets connections."""
        self._ready[port] = False
        async with asyncio.timeout(60):
            while not self._ready[port]:
                await asyncio.sleep(0.02)

    def remove(self, port: int) -> None:
        """Forget a process that has ended."""
        del self._ready[port]

    async def _look(self) -> None:
        while True:
            for port in list(self._ready):
                ready = await _is_ready(port)
                if port in self._ready:
                    self._ready[port] = ready
            await asyncio.sleep(INTERVAL)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await self._connected()
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ready = [port for port, is_ready in self._ready.items() if is_ready]
        first = next(self._turn)
        for number in range(len(ready)):
            port = ready[(first + number) % len(ready)]
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if not self._redispatch:
                    raise
        raise ConnectionRefusedError


async def _is_ready(port: int) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_ASK)
            head = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in head


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    with suppress(OSError):
        writer.close()
