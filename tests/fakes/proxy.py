"""A TCP proxy on a loopback port that can lead elsewhere, swallow every byte, or hang up."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Proxy:
    """``target`` is where new connections lead: a port, or the path of a unix socket.

    ``silent`` swallows what comes from either side; ``hangs_up`` ends the connection of the next bytes.
    """

    def __init__(self, target: int | str) -> None:
        self.target = target
        self.silent = False
        self.hangs_up = False
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)  # until the tasks of the connections have ended

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):
            if isinstance(self.target, str):
                there, back = await asyncio.open_unix_connection(self.target)
            else:
                there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(back)
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self.hangs_up:
                    self.hangs_up = False
                    break
                if not self.silent:
                    writer.write(data)
        if not self.silent:
            writer.close()
