"""The audit trail in ClickHouse: a sink for the outbox, and a reader.

The outbox delivers each event at least once. A repeated event has the same key, the engine of the table keeps
one row per key, and the reader reads with FINAL: no event counts twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.event_types import MAX_READ, AuthSessionEvent
from authkit_issuer.sinks.connection import ClickHouse, ClickHouseUnavailable
from authkit_issuer.store.event_reading import EventRow

TABLE = "session_events"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
_TIME = "%Y-%m-%d %H:%M:%S.%f"
_SETTINGS = {
    # A server profile may acknowledge inserts before they are stored.
    "async_insert": 0,
    # A column that the table lacks is an error, never a value that is silently dropped.
    "input_format_skip_unknown_fields": 0,
}
# The columns are named through e: bare, occurred_at would be the text of the same name.
_SELECT = """
select e.id as id, concat(replaceOne(toString(e.occurred_at), ' ', 'T'), 'Z') as occurred_at,
       e.issuer as issuer, e.user_id as user_id, e.session_id as session_id, e.event as event,
       e.method as method, e.reason as reason, e.ip_addr as ip_addr, e.user_agent as user_agent,
       e.actor as actor, e.target as target, e.data as data
from {table} as e final
where {which}
order by e.occurred_at desc, e.id desc limit {{limit:UInt32}}
format JSONEachRow
"""
_OF_USER = "e.user_id = {user:String}"
_OF_TYPES = "has({events:Array(String)}, e.event)"
_BEFORE = "(e.occurred_at, e.id) < ({moment:DateTime64(6, 'UTC')}, {number:Int64})"

_rows = msgspec.json.Decoder(EventRow, strict=False)


def clickhouse_schema(table: str = TABLE) -> str:
    """Return the statement that creates the table, for ``clickhouse-client`` or ``create_table``.

    You may change it: another engine of the Replacing family, a ``ttl``, more columns with defaults.
    """
    text = resources.files("authkit_issuer.sinks").joinpath("clickhouse.sql").read_text("utf-8")
    return text.replace(f"not exists {TABLE} ", f"not exists {_name(table)} ", 1)


class ClickHouseLogger:
    """An ``AuthEventLogger`` that takes up to a hundred events in one insert.

    It returns once ClickHouse has stored them; any other outcome raises, and the outbox repeats them.
    """

    def __init__(self, server: ClickHouse, *, table: str = TABLE, name: str = "clickhouse") -> None:
        """Use ``server``, which the host closes; ``name`` identifies this sink in the outbox."""
        self.name = name
        self._server = server
        self._table = _name(table)

    async def create_table(self) -> None:
        """Create the table as shipped, unless its name is taken."""
        await self._server.execute(await asyncio.to_thread(clickhouse_schema, self._table))

    async def log_session_event(self, event: AuthSessionEvent) -> None:
        """See ``AuthEventLogger``."""
        await self.log_session_events([event])

    async def log_session_events(self, events: Sequence[AuthSessionEvent]) -> None:
        """See ``AuthEventBatchLogger``; raises ``ClickHouseUnavailable``."""
        if events:
            await self._server.execute(
                f"insert into {self._table} format JSONEachRow",
                settings=_SETTINGS,
                data=b"\n".join(_line(event) for event in events),
            )


class ClickHouseReader:
    """An ``AuthEventLogReader`` over the table that ``ClickHouseLogger`` fills."""

    def __init__(self, server: ClickHouse, *, table: str = TABLE) -> None:
        """Use ``server``, which the host closes."""
        self._server = server
        self._table = _name(table)

    async def list_session_events(
        self, user_id: str, *event_types: str, limit: int = MAX_READ, before: AuthSessionEvent | None = None
    ) -> list[AuthSessionEvent]:
        """Return events, newest first.

        Args:
            user_id: events of this user; empty means all users.
            event_types: events of these types; none means all types.
            limit: at most this many, and at most 500.
            before: the last event of the previous page, for the next one.

        Raises:
            ClickHouseUnavailable: the server did not answer, or its answer cannot be read.
        """
        which: list[str] = []
        values: dict[str, str | int | Sequence[str]] = {"limit": max(1, min(limit, MAX_READ))}
        if user_id:
            which.append(_OF_USER)
            values["user"] = identifiers.uuid_or_none(user_id) or user_id
        if event_types:
            which.append(_OF_TYPES)
            values["events"] = event_types
        if before is not None:
            which.append(_BEFORE)
            values |= {"moment": _text(before.occurred_at), "number": before.id}
        query = _SELECT.format(table=self._table, which=" and ".join(which) or "true")
        answer = await self._server.select(query, **values)
        try:
            return [row.read() for row in _rows.decode_lines(answer)]
        except (msgspec.DecodeError, ValueError):
            # Raised as an outage: an unreadable answer never means "no events".
            raise ClickHouseUnavailable("unreadable answer") from None


def _line(event: AuthSessionEvent) -> bytes:
    row = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    row |= {"occurred_at": _text(event.occurred_at), "data": msgspec.json.encode(event.data).decode()}
    return msgspec.json.encode(row)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_TIME)


def _name(table: str) -> str:
    """Return the checked name of the table, which becomes part of a query."""
    parts = table.split(".")
    if len(parts) > 2 or not all(_IDENTIFIER.fullmatch(part) for part in parts):
        raise errors.ConfigError(f"clickhouse_table is {table!r}: use a plain name, or database.name.")
    return table
