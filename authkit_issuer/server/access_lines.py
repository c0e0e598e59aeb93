"""The lines of the access log, one for each response: formatted at once, without a chain of processors."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from authkit_issuer.server import access_log

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class AccessLines(logging.Formatter):
    """Formats the records of the access log as JSON, and leaves all others to another formatter."""

    def __init__(self, other: logging.Formatter, *, several: bool) -> None:
        """Wrap a formatter; with ``several`` processes each line has the id of its own."""
        super().__init__()
        self._other = other
        self._several = several

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        if record.name != access_log.logger.name:
            return self._other.format(record)
        facts = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        facts["event"] = record.msg
        facts["logger"] = record.name
        facts["level"] = "info"
        moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
        facts["timestamp"] = f"{moment.isoformat(timespec='microseconds')}Z"
        if self._several:
            facts["process"] = record.process
        return json.dumps(facts)
