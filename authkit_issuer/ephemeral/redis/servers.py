"""The servers behind ``redis_url``, and the connection to each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from authkit_issuer.ephemeral.redis.address import Address
from authkit_issuer.ephemeral.redis.connection import Access, Connection, connect
from authkit_issuer.ephemeral.redis.failures import Refusal

Word = bytes | str | int


class Servers(Protocol):
    """Where commands go."""

    async def execute(self, key: str, *command: Word) -> Any:
        """Return the reply of the server that holds ``key``; raise ``RedisFailure``."""
        ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, in one trip to each server; raise ``RedisFailure``."""
        ...

    async def masters(self) -> Sequence[Link]:
        """Return the servers that take writes; raise ``RedisFailure``."""
        ...

    async def probe_keys(self, prefix: str) -> Sequence[str]:
        """Return a key below ``prefix`` for each of these servers; raise ``RedisFailure``."""
        ...

    async def aclose(self) -> None:
        """End all connections."""
        ...


class Link:
    """The connection to one server: opened for the first command, and again after it ended."""

    def __init__(self, opener: Callable[[], Awaitable[Connection]]) -> None:
        """Keep how to open a connection."""
        self._opener = opener
        self._connection: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None

    async def execute(self, *command: Word, asking: bool = False) -> Any:
        """Return the reply.

        A server that takes no writes is left at once: the address may lead to the right one by now.

        Args:
            command: The command and its arguments.
            asking: The node of a Cluster is about to take the slot over.

        Raises:
            RedisFailure: there is no reply, or an error.
        """
        connection = await self._live()
        try:
            if asking:
                connection.send("ASKING")
            return await connection.send(*command)
        except Refusal as refusal:
            if refusal.cause in {"READONLY", "MASTERDOWN"}:
                connection.close("the server became a replica")
            raise

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the value of each key, in one trip; raises as ``execute``.

        ``MGET`` would say of a key that holds something else than a value that it is absent.
        """
        connection = await self._live()
        return [await reply for reply in [connection.send("GET", key) for key in keys]]

    async def aclose(self) -> None:
        """End the connection."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._connection is not None:
            self._connection.close()
            await asyncio.sleep(0)  # the loop lets go of the socket

    async def _live(self) -> Connection:
        connection = self._connection
        return await self._connected() if connection is None or connection.closed else connection

    async def _connected(self) -> Connection:
        """Open the connection; callers that come meanwhile share it, and its failure."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._opener())
            self._opening.add_done_callback(self._opened)
        # The caller that began it may give up; the others still want it.
        return await asyncio.shield(self._opening)

    def _opened(self, task: asyncio.Task[Connection]) -> None:
        self._opening = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()


class SingleServer:
    """One server, or the master of some sentinels."""

    def __init__(self, opener: Callable[[], Awaitable[Connection]]) -> None:
        """Keep how to reach the server; nothing is sent yet."""
        self._link = Link(opener)

    async def execute(self, key: str, *command: Word) -> Any:  # noqa: ARG002 - it holds every key
        """See ``Servers``."""
        return await self._link.execute(*command)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """See ``Servers``."""
        return await self._link.get_many(keys)

    async def masters(self) -> Sequence[Link]:
        """See ``Servers``."""
        return (self._link,)

    async def probe_keys(self, prefix: str) -> Sequence[str]:
        """See ``Servers``."""
        return (prefix,)

    async def aclose(self) -> None:
        """See ``Servers``."""
        await self._link.aclose()


def direct(address: Address, timeout: float) -> SingleServer:
    """Return the server at the address."""
    access = Access(timeout=timeout, login=address.login, tls=address.tls, database=address.database)
    return SingleServer(lambda: connect(address.nodes[0], access))
