"""A few connections to the mail server, kept for the next mails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiosmtplib

MAX_CONNECTIONS = 4
MAX_IDLE = 20.0
"""Seconds that a connection waits for the next mail; servers hang up after a minute or more."""
PATIENCE = 2.0
"""Seconds for the answer of a connection that is kept, which is at hand if it works."""
MAX_MAILS = 100
"""Mails over one connection: many servers allow no more."""


@dataclass(slots=True)
class _Connection:
    client: aiosmtplib.SMTP
    mails: int = 0
    expiry: asyncio.TimerHandle | None = None


class SmtpPool:
    """Hands out connections, each to one mail at a time."""

    def __init__(self, make: Callable[[], aiosmtplib.SMTP]) -> None:
        """Keep ``make``, which returns a client that is not connected; nothing connects yet."""
        self._make = make
        self._idle: list[_Connection] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[aiosmtplib.SMTP]:
        """Yield a client that is connected and logged in; after a failure its connection is closed."""
        self._enter_loop()
        async with self._free:
            connection = await self._take()
            try:
                yield connection.client
            except BaseException:
                connection.client.close()
                raise
            self._keep(connection)

    def _enter_loop(self) -> None:
        """Forget the connections of an event loop that has ended: a script may run one after another."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._idle.clear()
            self._leaving.clear()
            self._free = asyncio.Semaphore(MAX_CONNECTIONS)

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.expiry is not None:
                connection.expiry.cancel()
            try:
                alive = await _answers(connection.client)
            except BaseException:
                # The mail was given up meanwhile, and the pool no longer holds the connection.
                connection.client.close()
                raise
            if alive:
                return connection
            connection.client.close()
        client = self._make()
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return _Connection(client)

    def _keep(self, connection: _Connection) -> None:
        connection.mails += 1
        if connection.mails >= MAX_MAILS or not connection.client.is_connected:
            connection.client.close()
            return
        self._idle.append(connection)
        connection.expiry = asyncio.get_running_loop().call_later(MAX_IDLE, self._expire, connection)

    def _expire(self, connection: _Connection) -> None:
        self._idle.remove(connection)
        leaving = asyncio.create_task(_leave(connection.client), name="authkit smtp quit")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def aclose(self) -> None:
        """Close the connections that wait for a mail."""
        self._enter_loop()
        while self._idle:
            connection = self._idle.pop()
            if connection.expiry is not None:
                connection.expiry.cancel()
            await _leave(connection.client)
        await asyncio.gather(*self._leaving)


async def _answers(client: aiosmtplib.SMTP) -> bool:
    """True if the server still takes commands: it may have hung up, or restarted, in the meantime."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.rset(timeout=PATIENCE)
        return True
    return False


async def _leave(client: aiosmtplib.SMTP) -> None:
    """End the session as RFC 5321 section 4.1.1.10 asks for."""
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=PATIENCE)
    client.close()
