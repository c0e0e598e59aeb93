"""The lines of the access log, one for each response: formatted at once, without a chain of processors."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from authkit_issuer.server.access_log import AccessRecord


class AccessLines(logging.Formatter):
    """Formats the records of the access log as JSON, and leaves all others to another formatter."""

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
