"""Sinks of the audit trail, for ``Service.open(event_loggers=...)``.

``authkit_issuer.outbox`` delivers to them.
"""

from __future__ import annotations

from authkit_issuer.sinks.clickhouse import ClickHouseLogger, ClickHouseReader, clickhouse_schema
from authkit_issuer.sinks.connection import ClickHouse, ClickHouseUnavailable
from authkit_issuer.sinks.log import LogEventLogger

__all__ = [
    "ClickHouse",
    "ClickHouseLogger",
    "ClickHouseReader",
    "ClickHouseUnavailable",
    "LogEventLogger",
    "clickhouse_schema",
]
