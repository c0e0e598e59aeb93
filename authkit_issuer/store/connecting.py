"""Connections to PostgreSQL: several hosts, each with a time of its own, on sockets that notice silence.

asyncpg spends its whole time-out on the first host. Here a host that does not answer at once is asked beside
the next one, and the host that answered last is asked first.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakSet

import asyncpg

from authkit_issuer.sockets import notice_silence
from authkit_issuer.store.address import hosts, readable_address

if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # generic for type checkers only

HEAD_START = 0.5
"""Seconds that a host has before the next one is asked beside it."""
SILENCE = 5.0
"""Seconds after which a connection ends whose data the other machine does not acknowledge."""
_LIMITS = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": int(SILENCE * 1000),
}
PROOF = 1.0
"""Seconds in which a server under suspicion has to accept a new connection."""
CONNECT_TIMEOUT = 5.0
COMMAND_TIMEOUT = 10.0

logger = logging.getLogger("authkit.database")


class WatchedConnection(_Connection):
    """A connection whose socket notices that the other machine vanished."""

    __slots__ = ()

    def __init__(self, protocol: Any, transport: Any, *rest: Any) -> None:
        """Set the limits of the socket: the driver has no option for them."""
        super().__init__(protocol, transport, *rest)
        notice_silence(transport.get_extra_info("socket"), _LIMITS)


class Connector:
    """Opens the connections of one address."""

    def __init__(
        self,
        dsn: str,
        *,
        timeout: float = CONNECT_TIMEOUT,
        command_timeout: float | None = COMMAND_TIMEOUT,
        statement_cache: bool = True,
        name: str = "authkit",
        settings: dict[str, str] | None = None,
    ) -> None:
        """Read the address; nothing is opened yet.

        Args:
            dsn: The address, with one host or several.
            timeout: Seconds that one host has.
            command_timeout: Seconds that one statement has; None sets no limit.
            statement_cache: True to keep prepared statements.
            name: The name of the sessions in ``pg_stat_activity``.
            settings: Parameters of the server for each session, left out if a pooler refuses them.

        Raises:
            ConfigError: The address cannot be read.
        """
        self.dsn = dsn
        self.timeout = timeout
        self._command_timeout = command_timeout
        self.statement_cache = statement_cache
        self._session = {"application_name": name, "timezone": "UTC"}
        self._limits = settings or {}
        with readable_address():
            self._hosts = hosts(dsn)
            self._target = parse_qs(urlsplit(dsn).query).get("target_session_attrs", [""])[-1]
        self.full_at = -math.inf
        """When a statement found no space left, on the monotonic clock."""
        self._latest = 0
        self._opened: WeakSet[_Connection] = WeakSet()
        self._proof: asyncio.Task[None] | None = None

    async def connect(self, *, statement_cache: bool | None = None) -> _Connection:
        """Return a connection to the first host that answers and suits.

        Without ``target_session_attrs``, of several hosts one that can write is preferred. Raises what the
        driver raises.
        """
        cached = self.statement_cache if statement_cache is None else statement_cache
        try:
            connection = await self._race(cached=cached)
        except asyncpg.ProtocolViolationError as error:
            if not self._limits or "startup parameter" not in str(error):
                raise
            logger.warning(
                "a connection pooler refuses limits of a session: set them for the role of the service, such "
                "as ALTER ROLE authkit SET lock_timeout = '2500ms', and the settings to none (left out: %s)",
                ", ".join(f"database_{name}" for name in self._limits),
            )
            self._limits = {}
            connection = await self._race(cached=cached)
        self._opened.add(connection)
        return connection

    async def pooled(self, *_: object, **__: object) -> _Connection:
        """Open a connection for a pool, which passes arguments of its own."""
        return await self.connect()

    async def _open(self, where: dict[str, Any], *, cached: bool = False) -> _Connection:
        with readable_address():
            connection: _Connection = await asyncpg.connect(
                self.dsn,
                timeout=self.timeout,
                command_timeout=self._command_timeout,
                statement_cache_size=1024 if cached else 0,
                connection_class=WatchedConnection,
                server_settings={**self._session, **self._limits},
                **where,
            )
        return connection

    async def _race(self, *, cached: bool) -> _Connection:
        if len(self._hosts) < 2:
            return await self._open({}, cached=cached)
        asked: dict[asyncio.Task[_Connection], int] = {}
        chosen: _Connection | None = None
        try:
            chosen = await self._ask(asked, cached=cached)
            return chosen
        finally:
            _end(asked, chosen)

    async def _ask(self, asked: dict[asyncio.Task[_Connection], int], *, cached: bool) -> _Connection:
        waiting = [self._latest, *(n for n in range(len(self._hosts)) if n != self._latest)]
        spare: list[_Connection] = []
        failures: list[BaseException] = []
        while waiting or any(not task.done() for task in asked):
            if waiting:
                host = waiting.pop(0)
                asked[asyncio.create_task(self._open(self._at(host), cached=cached))] = host
            pending = [task for task in asked if not task.done()]
            head_start = HEAD_START if waiting else None
            done, _ = await asyncio.wait(pending, timeout=head_start, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                failure = task.exception()
                if failure is not None:
                    failures.append(failure)
                elif self._suits(task.result()):
                    self._latest = asked[task]
                    return task.result()
                else:
                    spare.append(task.result())
        if spare:
            return spare[0]
        # What a server said explains more than a host that did not answer.
        raise next((error for error in failures if isinstance(error, asyncpg.PostgresError)), failures[0])

    def _at(self, number: int) -> dict[str, Any]:
        host = self._hosts[number]
        where: dict[str, Any] = {"host": host.name, "port": host.port}
        if self._target == "prefer-standby":
            where["target_session_attrs"] = "any"  # chosen here, among all hosts
        return where

    def _suits(self, connection: _Connection) -> bool:
        """True unless a host was found that is worth asking the others for a better one."""
        settings = connection.get_settings()
        standby = getattr(settings, "in_hot_standby", "off") == "on"
        if self._target == "prefer-standby":
            return standby
        if self._target:
            return True  # the driver checked it
        return not standby and getattr(settings, "default_transaction_read_only", "off") == "off"

    def suspect(self, answered_at: Callable[[], float]) -> None:
        """End every connection if the server gives no sign of life within a second.

        A machine that vanished closes nothing: what waits for it would wait on. A sign of life is a new
        connection, or a result meanwhile on an old one: ``answered_at`` is the time of the last.
        """
        if self._proof is None or self._proof.done():
            self._proof = asyncio.create_task(self._prove(answered_at), name="authkit database proof")

    async def _prove(self, answered_at: Callable[[], float]) -> None:
        began = time.monotonic()
        where = self._at(self._latest) if len(self._hosts) > 1 else {}
        try:
            # A refusal is an answer, too.
            with suppress(asyncpg.PostgresError, asyncpg.InternalClientError, asyncpg.InterfaceError):
                async with asyncio.timeout(PROOF):
                    connection = await self._open(where)
                connection.terminate()
        except OSError:
            if answered_at() > began:
                return
            logger.warning("the database does not answer: all connections to it are closed")
            for opened in list(self._opened):
                opened.terminate()

    async def close(self) -> None:
        """Stop what runs beside the requests."""
        if self._proof is not None:
            self._proof.cancel()
            await asyncio.gather(self._proof, return_exceptions=True)


def _end(asked: dict[asyncio.Task[_Connection], int], chosen: _Connection | None) -> None:
    """End the other attempts without waiting: a caller cancelled meanwhile would lose the chosen one."""
    for task in asked:
        task.cancel()
        task.add_done_callback(partial(_dropped, chosen))


def _dropped(chosen: _Connection | None, task: asyncio.Task[_Connection]) -> None:
    if not task.cancelled() and task.exception() is None and task.result() is not chosen:
        task.result().terminate()
