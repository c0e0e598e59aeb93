"""Kills the connection to the database at a chosen step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import asyncpg

from authkit_issuer.errors import DatabaseUnavailable
from authkit_issuer.store.connection import translated
from fakes.until import until

Moment = Literal["before", "after"]


class Armed:
    """Counts steps since it was armed, for one that goes wrong."""

    def __init__(self) -> None:
        self.moment: Moment = "before"
        self.target = 0
        self.steps = 0
        self.struck = False

    def arm(self, moment: Moment, target: int) -> None:
        self.moment, self.target, self.steps, self.struck = moment, target, 0, False

    def disarm(self) -> None:
        self.target = 0


class ConnectionKiller(Armed):
    """Kills the backend at the n-th step (a statement or a commit) since it was armed."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        super().__init__()
        self.admin = admin
        self._killing = asyncio.Lock()

    @contextmanager
    def striking(self, moment: Moment, target: int) -> Generator[None]:
        """Kill the backend at this step of the block, which may end there by ``DatabaseUnavailable``."""
        self.arm(moment, target)
        with suppress(DatabaseUnavailable):
            yield
        self.disarm()

    async def around(self, connection: Any, step: Callable[[], Awaitable[Any]]) -> Any:
        self.steps += 1
        mine = self.target == self.steps and not self.struck
        if mine and self.moment == "before":
            await self.kill(connection)
        result = await step()
        if mine and self.moment == "after":
            await self.kill(connection)
            with translated():
                raise asyncpg.ConnectionDoesNotExistError("the answer was lost")
        return result

    async def kill(self, connection: Any) -> None:
        """End the connection's backend, and return once the connection has seen it."""
        self.struck = True
        raw = getattr(connection, "_con", connection)  # what a pool lends answers no more once it is closed
        # Steps of work in the background count too: one may still be killed while the next is armed.
        async with self._killing:
            await self.admin.execute("select pg_terminate_backend($1)", raw.get_server_pid())
            # The function can wait itself, but looks only every tenth of a second.
            await until(raw.is_closed)
