"""The access log: one line for each response, without query or headers."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authkit_issuer.http.measured import LOG_FACTS

_MAX_PATH = 200

logger = logging.getLogger("authkit.access")


class AccessRecord(logging.LogRecord):
    """The record of a response; its facts are attributes too, as with ``extra``."""

    __slots__ = ("facts",)  # outside of the attributes, which a formatter prints

    def __init__(self, facts: dict[str, Any], pattern: logging.LogRecord, now: float) -> None:
        """Take the facts, the Unix time, and from ``pattern`` what all records of the process have in common.

        The usual way finds all of it anew for each record, down to the line of code that logs: it takes most
        of the time of a line.
        """
        vars(self).update(vars(pattern))
        self.created, self.msecs = now, now % 1 * 1000
        self.relativeCreated += (now - pattern.created) * 1000
        vars(self).update(facts)
        self.facts = facts


def pattern() -> logging.LogRecord:
    """Return a record with all that the access records of this process have in common."""
    return logger.makeRecord(logger.name, logging.INFO, __file__, 0, "request", (), None)


class AccessLines(logging.Formatter):
    """Formats the records of the access log as JSON, at once, and leaves all others to another formatter."""

    def __init__(self, other: logging.Formatter, *, several: bool) -> None:
        """Wrap a formatter; with ``several`` processes each line has the id of its own."""
        super().__init__()
        self._other = other
        self._several = several

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        if not isinstance(record, AccessRecord):
            return self._other.format(record)
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line = {
            **record.facts,
            "event": record.msg,
            "logger": record.name,
            "level": "info",
            "timestamp": moment.replace("+00:00", "Z"),
        }
        if self._several:
            line["process"] = record.process
        return json.dumps(line)


class AccessLog:
    """Logs method, path, status, milliseconds and request id.

    Never the query or a header: they contain addresses and tokens.
    """

    def __init__(
        self,
        app: ASGIApp,
        clock: Callable[[], float] = time.perf_counter,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Wrap an application; ``clock`` returns seconds, ``now`` the Unix time."""
        self._app = app
        self._clock = clock
        self._now = now
        self._pattern = pattern()

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
            if logger.isEnabledFor(logging.INFO):
                logger.handle(AccessRecord(facts, self._pattern, self._now()))


def _printable(path: str) -> str:
    """Return the path with unprintable characters replaced: the client chose it."""
    text = path[:_MAX_PATH]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _request_id(message: Message) -> str:
    for name, value in message["headers"]:
        if name == b"x-request-id":
            return str(value, "latin-1")
    return ""
