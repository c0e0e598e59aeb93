"""One connection to one server: commands of the same moment leave in one write, replies come in order.

A command is sent once and never repeated: a repeated ``GETDEL`` or ``INCR`` whose first reply was lost would
report a code as absent or count a try twice.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from authkit_issuer.ephemeral.redis.address import Login, Node
from authkit_issuer.ephemeral.redis.failures import Disconnected, RedisFailure, Refusal
from authkit_issuer.sockets import notice_silence

_UNFINISHED = object()
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds and probes by which an idle connection notices that the machine behind it vanished."""


class Connection(asyncio.Protocol):
    """Sends commands of any number of callers; a caller that gives up leaves the others' replies alone."""

    def __init__(self, node: Node, timeout: float) -> None:
        """Wait to be connected; a reply later than ``timeout`` seconds ends the connection."""
        self.node = node
        self.closed = False
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(replyError=Refusal, notEnoughData=_UNFINISHED)
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None

    def send(self, *command: bytes | str | int) -> asyncio.Future[Any]:
        """Send a command with the others of this moment; the future holds its reply.

        Raises:
            Disconnected: the connection has ended; nothing was sent.
        """
        if self.closed:
            raise Disconnected(f"{self.node} closed the connection")
        # First: a word that cannot be written must leave no caller who waits for a reply, or each would get
        # that of the next.
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub has fewer
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((reply, self._loop.time()))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._check_age)
        return reply

    def close(self, reason: str = "the connection was closed") -> None:
        """End the connection; callers that wait for a reply get ``Disconnected`` with the reason."""
        if self.closed:
            return
        self.closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            _settle(self._waiting.popleft()[0], Disconnected(f"{self.node}: {reason}"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; see ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)
        if self.closed:
            self._transport.abort()
            return
        notice_silence(transport.get_extra_info("socket"), _KEEPALIVE)

    def data_received(self, data: bytes) -> None:
        """Give each complete reply to the caller whose turn it is; see ``asyncio.Protocol``."""
        self._reader.feed(data)
        try:
            while (value := self._reader.gets()) is not _UNFINISHED:
                _settle(self._waiting.popleft()[0], value)
        except (hiredis.ProtocolError, IndexError):
            self.close("the replies are not those of a Redis")

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits; see ``asyncio.Protocol``."""
        self.close(str(exc) if exc else "the server closed the connection")

    def _flush(self) -> None:
        if self._transport is not None and not self.closed:
            self._transport.writelines(self._unsent)
        self._unsent = []

    def _check_age(self) -> None:
        """End the connection whose oldest command has waited too long: its later replies come no sooner."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] + self._timeout - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._check_age)
        else:
            self.close(f"no reply within {self._timeout:g} s")


def _settle(reply: asyncio.Future[Any], value: Any) -> None:
    if reply.done():  # the caller gave up
        return
    if isinstance(value, RedisFailure):
        reply.set_exception(value)
        reply.exception()  # a caller that gives up now leaves it unread, which is no mistake to log
    else:
        reply.set_result(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a connection begins."""

    timeout: float
    """Seconds to connect, and to wait for a reply."""
    login: Login
    tls: ssl.SSLContext | None
    database: int = 0


async def connect(node: Node, access: Access) -> Connection:
    """Open a connection, authenticated and with the database selected.

    Raises:
        Disconnected: the server cannot be reached in time.
        Refusal: the server refuses the user, the password or the database.
    """
    connection = Connection(node, access.timeout)
    try:
        async with asyncio.timeout(access.timeout):
            await _open(connection, access.tls)
            await _greet(connection, access.login, access.database)
    except TimeoutError:
        connection.close()
        raise Disconnected(f"{node} does not answer within {access.timeout:g} s") from None
    except OSError as error:
        connection.close()
        # The loop's own text repeats the address.
        text = os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else error
        raise Disconnected(f"{node}: {text}") from error
    except UnicodeError:
        connection.close()
        raise Disconnected(f"{node} is not the name of a host") from None
    except BaseException:
        connection.close()
        raise
    return connection


async def _open(connection: Connection, tls: ssl.SSLContext | None) -> None:
    loop, node = asyncio.get_running_loop(), connection.node
    if node.path:
        await loop.create_unix_connection(lambda: connection, node.path)
        return
    name = None if tls is None else node.host
    await loop.create_connection(lambda: connection, node.host, node.port, ssl=tls, server_hostname=name)


async def _greet(connection: Connection, login: Login, database: int) -> None:
    words = (login.username, login.password) if login.username else (login.password,)
    needed = [connection.send("AUTH", *words)] if login.password else []
    if database:
        needed.append(connection.send("SELECT", database))
    named = connection.send("CLIENT", "SETNAME", "authkit")
    await asyncio.wait([*needed, named])
    for reply in needed:
        reply.result()
    # The name is for people who list the clients, and a user may lack that right.
    failure = named.exception()
    if failure is not None and not isinstance(failure, Refusal):
        raise failure
