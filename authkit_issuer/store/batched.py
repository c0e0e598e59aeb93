"""Statements that callers share when there is a crowd of them.

Few callers each send the plain statement at once: the server works on them side by side. In a crowd whoever
comes waits for the statements on their way and then travels together with the others, as one statement over
arrays, which costs the server little more than one of them would. That statement passes over rows that
somebody else has locked, and so waits for nobody; whoever it did not serve, for that or for any other reason,
runs the plain statement alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from authkit_issuer.errors import AuthError
from authkit_issuer.store.postgres import Store
from authkit_issuer.store.query import Query

Row = TypeVar("Row")

MOST = 128
"""Callers per statement."""
CROWD, THIN = 24, 8
"""From so many callers at once on they share, and until so few are left."""
AT_ONCE = 2
"""Statements of a crowd on their way at a time: one on the server, one in this process."""
PATIENCE = 0.02
"""Seconds after which those who wait set out although the statement before them has not come back."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchedQuery(Generic[Row]):
    """One statement in two forms, for one caller and for many.

    ``one`` takes a caller's own arguments and then the common ones, ``many`` an array of each of the own
    arguments and then the common ones. ``key`` names the row a caller wants by its first argument.
    """

    one: Query[Row]
    many: Query[Row]
    key: Callable[[Row], str]


@dataclass(slots=True, eq=False)
class _Waiting:
    own: tuple[object, ...]
    result: asyncio.Future[Any]


class BatchedStatements:
    """The shared statements of one service. Only for statements outside of any transaction."""

    def __init__(self, store: Store) -> None:
        """Take the store whose connections the statements run on."""
        self._store = store
        self._lanes: dict[tuple[Any, tuple[object, ...]], _Lane] = {}

    async def maybe(
        self, query: BatchedQuery[Row], own: tuple[object, ...], common: tuple[object, ...]
    ) -> Row | None:
        """Return the caller's row, or None when there is none; raises as the store does."""
        lane = self._lanes.get((query, common))
        if lane is None:
            lane = self._lanes[query, common] = _Lane(self._store, query, common)
        row: Row | None = await lane.run(own)
        return row


class _Lane:
    """All callers of one statement with the same common arguments."""

    def __init__(self, store: Store, query: BatchedQuery[Any], common: tuple[object, ...]) -> None:
        self._store = store
        self._query = query
        self._common = common
        self._callers = 0
        self._sharing = False
        self._under_way = 0
        self._waiting: dict[object, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, own: tuple[object, ...]) -> Any:
        self._callers += 1
        try:
            # Two bounds: between them a crowd that thins out goes on sharing, and few do not begin to.
            self._sharing = self._callers > (THIN if self._sharing else CROWD)
            if not self._sharing or self._under_way < AT_ONCE:
                return await self._alone(own)
            return await self._in_company(own)
        finally:
            self._callers -= 1

    async def _in_company(self, own: tuple[object, ...]) -> Any:
        if own[0] in self._waiting:
            # One statement cannot serve two callers of one row; the second would read what the first left.
            return await self._plain(own)
        waiting = _Waiting(own, asyncio.get_running_loop().create_future())
        self._waiting[own[0]] = waiting
        if len(self._waiting) >= MOST:
            self._set_out()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._set_out)
        row = await waiting.result
        return row if row is not None else await self._plain(own)

    async def _alone(self, own: tuple[object, ...]) -> Any:
        self._under_way += 1
        try:
            return await self._plain(own)
        finally:
            self._arrived()

    async def _plain(self, own: tuple[object, ...]) -> Any:
        return await self._store.fetch_one(self._query.one, (*own, *self._common))

    def _arrived(self) -> None:
        self._under_way -= 1
        if self._under_way < AT_ONCE:
            self._set_out()

    def _set_out(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Who was cancelled while waiting has not begun, and need not.
        going = [waiting for waiting in self._waiting.values() if not waiting.result.done()]
        self._waiting = {}
        if going:
            self._under_way += 1
            task = asyncio.get_running_loop().create_task(self._together(going))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _together(self, going: list[_Waiting]) -> None:
        try:
            columns = [list(column) for column in zip(*(waiting.own for waiting in going), strict=True)]
            rows = await self._store.fetch(self._query.many, (*columns, *self._common))
            by_key = {self._query.key(row): row for row in rows}
            for waiting in going:
                if not waiting.result.done():
                    waiting.result.set_result(by_key.get(str(waiting.own[0])))
        except Exception as error:  # noqa: BLE001 - raised again in every caller, or in the one it is due to
            for waiting in going:
                if waiting.result.done():
                    continue
                if isinstance(error, AuthError):
                    waiting.result.set_exception(error)
                else:
                    # A bad value of one must not cost the others: each asks alone.
                    waiting.result.set_result(None)
        finally:
            for waiting in going:
                waiting.result.cancel()  # of use only when this task itself was cancelled
            self._arrived()
