"""The steps in which a server stops: serve on for a while, finish the running requests, wait no longer.

``signals`` says which signal takes which step, ``options`` how long each lasts. uvicorn counts the seconds of
the running requests, and cancels those that remain.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger("authkit.server")

_BODY = b'{"error":"not_ready","error_description":"This process is about to stop."}'
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"content-length", b"%d" % len(_BODY)),
]


class Draining:
    """Answers ``/readyz`` with 503 once ``begun``, so that load balancers send requests elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.begun and scope["type"] == "http" and scope["path"] == "/readyz":
            await send({"type": "http.response.start", "status": 503, "headers": list(_HEADERS)})
            body = b"" if scope["method"] == "HEAD" else _BODY
            await send({"type": "http.response.body", "body": body})
            return
        await self.app(scope, receive, send)


class Stopping:
    """Stops one server, made inside its loop; ``to`` may be called from a signal handler."""

    def __init__(self, server: uvicorn.Server, draining: Draining, *, delay: float, graceful: float) -> None:
        """Take the server; without a ``delay`` its first step is to finish the running requests."""
        self._server = server
        server.config.timeout_graceful_shutdown = cast("int", graceful)  # any number of seconds
        self._graceful = graceful
        self._draining = draining
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._taken = 0
        self._steps: list[Callable[[], None]] = [self._finish, self._wait_no_longer]
        if delay:
            self._steps.insert(0, self._drain)

    def to(self, step: int) -> None:
        """Take every step up to this one, soon."""
        self._loop.call_soon_threadsafe(self._take, step)

    def _take(self, step: int) -> None:
        due, self._taken = self._steps[self._taken : step], max(self._taken, step)
        for each in due:
            each()

    def _drain(self) -> None:
        """Ask load balancers for no more requests, and stop after the delay."""
        self._draining.begun = True
        logger.info("serving on for %g s, while /readyz responds with 503", self._delay)
        self._loop.call_later(self._delay, self._finish)

    def _finish(self) -> None:
        if not self._server.should_exit:
            logger.info("stopping: running requests have %g s", self._graceful)
        self._server.should_exit = True

    def _wait_no_longer(self) -> None:
        self._server.force_exit = True
