"""Kills the connection to the database at a chosen step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import asyncpg

from authkit_issuer.store.connection import translated

Moment = Literal["before", "after"]


class ConnectionKiller:
    """Kills the backend at the n-th step (a statement or a commit) since it was armed."""

    def __init__(self, admin: asyncpg.Connection) -> None:
        self.admin = admin
        self.moment: Moment = "before"
        self.target = 0
        self.steps = 0
        self.struck = False

    def arm(self, moment: Moment, target: int) -> None:
        self.moment, self.target, self.steps, self.struck = moment, target, 0, False

    def disarm(self) -> None:
        self.target = 0

    async def around(self, connection: Any, step: Callable[[], Awaitable[Any]]) -> Any:
        self.steps += 1
        mine = self.target == self.steps and not self.struck
        if mine and self.moment == "before":
            await self.kill(connection.get_server_pid())
        result = await step()
        if mine and self.moment == "after":
            await self.kill(connection.get_server_pid())
            with translated():
                raise asyncpg.ConnectionDoesNotExistError("the answer was lost")
        return result

    async def kill(self, pid: int) -> None:
        self.struck = True
        await self.admin.execute("select pg_terminate_backend($1, 5000)", pid)
