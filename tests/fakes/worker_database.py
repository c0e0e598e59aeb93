"""The database of one worker, emptied before each test over a connection that stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from fakes import servers
from fakes.patience import PATIENCE

T = TypeVar("T")

EMPTY = """
    set lock_timeout = '20s';
    delete from profiles.users;
    delete from profiles.orgs;
    delete from profiles.names;
    delete from profiles.roles where slug <> 'admin';
    update profiles.roles set name = 'Administrator', description = 'May administer every account.'
        where (name, description) is distinct from ('Administrator', 'May administer every account.');
    delete from profiles.code_guesses;
    delete from profiles.session_events;
    delete from profiles.event_outbox;
    delete from profiles.event_sinks;
    delete from profiles.webhook_endpoints;
"""
END_OTHERS = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""
"""A failed test may leave tasks whose event loop stands still: their locks would fail all later tests."""
VACUUM_EVERY = 100
"""Tests after which the dead rows go: autovacuum is off, and plans slow down with them."""


class WorkerDatabase:
    """A clone of the migrated template; its loop is its own, because some tests have none."""

    def __init__(self, server: str, worker: int) -> None:
        name = f"authkit_{worker}"
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._emptied = 0
        self.url = servers.database(server, name)
        create = f"create database {name} template {servers.TEMPLATE}"
        self._runner.run(servers.on(server, lambda connection: connection.execute(create)))

    def empty(self) -> None:
        """Leave nothing but the ``admin`` role."""
        try:
            self._run(lambda connection: connection.execute(EMPTY))
        except asyncpg.LockNotAvailableError as error:
            self._run(lambda connection: connection.execute(END_OTHERS))
            raise AssertionError("an earlier test left a transaction open; it is ended now") from error
        self._emptied += 1
        if self._emptied % VACUUM_EVERY == 0:
            self._run(lambda connection: connection.execute("vacuum"))

    def close(self) -> None:
        """Close the connection; the database goes with the server."""
        if self._connection is not None:
            self._runner.run(self._connection.close())
        self._runner.close()

    def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        async def on_open_connection() -> T:
            # A test may have ended every connection of the database.
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self.url, timeout=PATIENCE)
            return await work(self._connection)

        return self._runner.run(on_open_connection())
