"""One log line for each response, without query or headers."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authkit_issuer.http.measured import LOG_FACTS

_MAX_PATH = 200

logger = logging.getLogger("authkit.access")


class AccessLog:
    """Logs method, path, status, milliseconds and request id.

    Never the query or a header: they contain addresses and tokens.
    """

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter) -> None:
        """Wrap an application; ``clock`` returns seconds."""
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, facts = self._clock(), {"method": scope["method"], "path": _printable(scope["path"])}
        scope[LOG_FACTS] = facts

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts["status"] = message["status"]
                facts["request_id"] = _request_id(message)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            facts["ms"] = round((self._clock() - began) * 1000, 1)
            logger.info("request", extra=facts)


def _printable(path: str) -> str:
    """Return the path with unprintable characters replaced: the client chose it."""
    return "".join(char if char.isprintable() else "?" for char in path[:_MAX_PATH])


def _request_id(message: Message) -> str:
    found = (value for name, value in message["headers"] if name == b"x-request-id")
    return next(found, b"").decode("latin-1")
