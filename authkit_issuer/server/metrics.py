"""The port for operators: the metrics of every worker and the state of one, away from clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import uvicorn
from starlette.types import Receive, Scope, Send

from authkit_issuer.prometheus import CONTENT_TYPE, exposition
from authkit_issuer.server.board import Board
from authkit_issuer.server.connection_limit import Places
from authkit_issuer.server.connections import BoundedHttp
from authkit_issuer.server.quiet_server import QuietServer
from authkit_issuer.server.readiness import Readiness
from authkit_issuer.telemetry.tally import Numbers, Tally, combined, counted

INTERVAL = 1.0
"""Seconds between two publications of a worker's numbers."""
MAX_CONNECTIONS = 64


class Metrics:
    """Serves ``/metrics`` and ``/readyz`` on a socket of its own, in one process or in each of several."""

    def __init__(self, listener: socket.socket, board: Board | None = None, place: int = 0) -> None:
        """Take the listening socket, and where the numbers of the other workers are."""
        self._listener = listener
        self._board = board
        self._place = place
        self._readiness: Readiness | None = None
        self.tally = Tally()
        if board is not None:
            self.tally.numbers.update(counted(board.read(place)))
        self._writing = asyncio.Lock()

    def of_worker(self, place: int) -> Metrics:
        """Return the part of one worker."""
        return Metrics(self._listener, self._board, place)

    def vacate(self, place: int) -> None:
        """Keep what an ended worker has counted for the next one at its place."""
        if self._board is not None:
            self._board.vacate(place)

    @asynccontextmanager
    async def served(self, readiness: Readiness) -> AsyncGenerator[None]:
        """Answer on the socket while the block runs."""
        self._readiness = readiness
        protocol = partial(BoundedHttp, places=Places(most=MAX_CONNECTIONS))
        server = QuietServer(
            uvicorn.Config(
                self,
                http=cast("type[asyncio.Protocol]", protocol),
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[self._listener]), name="authkit metrics")
        publishing = asyncio.create_task(self._publish(), name="authkit numbers")
        try:
            yield
        finally:
            publishing.cancel()
            server.should_exit = True
            await asyncio.gather(serving, publishing, return_exceptions=True)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, kind, body = 404, "text/plain", b"GET /metrics or /readyz\n"
        path = scope["path"] if scope["method"] in {"GET", "HEAD"} else ""
        if path == "/metrics":
            status, kind, body = 200, CONTENT_TYPE, await self._written()
        elif path == "/readyz" and self._readiness is not None:
            kind = "application/json"
            status, body = await self._readiness.examine()
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _written(self) -> bytes:
        """Return the text of the numbers; in a thread, one at a time: thousands of lines take a while."""
        async with self._writing:
            return await asyncio.to_thread(exposition, self._numbers())

    def _numbers(self) -> Numbers:
        if self._board is None:
            return combined([self.tally.numbers])  # a copy: the loop goes on counting
        # Published first: what was scraped once must not be less at the next scrape, by another worker or
        # after the end of this one. Prometheus would take it for a restart from zero.
        self._board.write(self._place, self.tally.numbers)
        others = (self._board.read(place) for place in range(self._board.workers) if place != self._place)
        return combined([self.tally.numbers, *others])

    async def _publish(self) -> None:
        while self._board is not None:
            self._board.write(self._place, self.tally.numbers)
            await asyncio.sleep(INTERVAL)
